"""Product exports of WooCommerce, Magento 2 and Shopify as tables, where a product's variants have rows of
their own. Pure.

A product is made from all rows of its group: `*_groups` tells which rows belong together, `*_product` makes
the product. What each column becomes:

- WooCommerce: `ID` is the id. Only `Published` 1 is for sale, unless `Visibility in catalog` is hidden. The
  deepest of several `Categories` is the category, the last steps of the others become tags. `In stock?` is
  the availability; a variable product has that and the price of what can be bought of its variations.
- Magento 2: `sku` is the id. Only `product_online` 1 is for sale, and what is not visible individually only
  as part of a configurable product. Rows of store views are texts for them, and are left out.
- Shopify: `Handle` is the id, as the file has no other. The rest is as in its product JSON.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from schemas.products import Availability, Product
from services.ops.catalogue import texts
from services.ops.catalogue.cell_values import BEST_FIRST, Defaults, NotForSale, product_of
from services.ops.catalogue.rows import BadValue, Row
from services.ops.catalogue.sale_prices import Period, Pricing, make_pricing, read_moment, read_period
from services.ops.catalogue.shop_feeds import TAG_OPTIONS, rename_columns, shopify_product
from services.ops.catalogue.texts import id_of, is_blank, text_of
from services.ops.catalogue.woocommerce_columns import UNCATEGORISED, english_columns

Groups = dict[int, tuple[str, ...]]  # by the number of a row: its own group, then others that it is part of

WOOCOMMERCE_COLUMNS: Final = frozenset({"type", "name", "published", "regular_price"})
MAGENTO_COLUMNS: Final = frozenset({"sku", "product_type", "name", "attribute_set_code"})
SHOPIFY_COLUMNS: Final = frozenset({"handle", "title", "variant_price"})
SHOPIFY_NEW_COLUMNS: Final = frozenset({"url_handle", "title", "price"})  # since 2025

_COMMA: Final = re.compile(r"(?<!\\),\s*")
_SLASH: Final = re.compile(r"(?<!\\)/")
KINDS: Final = {"grouped": 0, "variable": 1, "variation": 3}  # the first of a group is what it is; others: 2


def woocommerce_groups(rows: Iterable[tuple[int, Row]]) -> Groups:
    """A variation belongs to its `Parent`, an SKU or id:ID, else to the variable product it is named as."""
    groups: Groups = {}
    variables: list[tuple[str, str]] = []  # name and key, in the file's order
    members: dict[str, list[str]] = {}  # key of a product → the grouped products that it is part of
    keys: dict[int, str] = {}
    for number, row in rows:
        cells = english_columns(row)
        kind, name = woocommerce_type(cells), text_of(cells, "name")
        key = id_of(cells, "sku") or f"id:{id_of(cells, 'id')}"
        if kind.startswith("variation"):
            parents = [each for called, each in reversed(variables) if called and name.startswith(called)]
            key = id_of(cells, "parent") or next(iter(parents), key)
        elif kind.startswith("variable"):
            variables.append((name, key))
        for member in _COMMA.split(text_of(cells, "grouped_products")):
            members.setdefault(member, []).append(key)
        keys[number] = key
    for number, key in keys.items():
        groups[number] = (key, *members.get(key, ()))
    return groups


def woocommerce_type(cells: Row) -> str:
    """simple, variable, variation, grouped, external; the words virtual and downloadable may follow."""
    return text_of(cells, "type").partition(",")[0].strip().lower() or "simple"


def woocommerce_product(rows: Sequence[Row], defaults: Defaults) -> Product:
    """The product of a group. Raises BadValue, and NotForSale for what the shop does not show."""
    every = [english_columns(row) for row in rows]
    by_kind = sorted(every, key=lambda each: KINDS.get(woocommerce_type(each).partition("-")[0], 2))
    own = by_kind[0]
    kind = woocommerce_type(own)
    if kind.startswith("variation"):
        raise NotForSale("a variation whose product is not in the file")
    _require_shown(own)
    variants = [
        each
        for each in by_kind[1:]
        if (kind == "grouped" or woocommerce_type(each).startswith("variation"))
        and woocommerce_type(each) != "variable"  # its variations are here, too
        and text_of(each, "published") in ("", "1")
    ]
    state, pricing = _best(variants or [own], defaults, _woocommerce_state, _woocommerce_pricing)
    paths = [texts.path(each.replace(r"\,", ",")) for each in _COMMA.split(text_of(own, "categories"))]
    category, shelves = texts.deepest([each for each in paths if not UNCATEGORISED.issuperset(each)])
    words = [word for each in [own, *variants] for word in _attributes(each)]
    listed = [each.replace(r"\,", ",") for each in _COMMA.split(text_of(own, "tags"))]
    return product_of(
        {
            "product_id": id_of(own, "id", "sku"),
            "name": text_of(own, "name"),
            "description": text_of(own, "description", "short_description").replace("\\n", "\n"),
            "price": pricing.price,
            "currency": pricing.currency,
            "price_changes": pricing.changes,
            "availability": state,
            "brand": text_of(own, "brands", "brand"),
            "category": category,
            "type": category[-1] if category else None,
            "tags": texts.tags(texts.words(listed), shelves, words, pricing.tags),
            "image_url": _COMMA.split(text_of(own, "images"))[0],
            "url": text_of(own, "external_url", "permalink"),
        },
        defaults,
    )


def _require_shown(cells: Row) -> None:
    published = text_of(cells, "published")
    if published != "1":
        raise NotForSale(
            {"0": "private", "-1": "a draft", "2": "pending review"}.get(published, "not published")
        )
    if text_of(cells, "visibility_in_catalog").lower() == "hidden":
        raise NotForSale("hidden from the catalogue")


def _woocommerce_state(cells: Row, defaults: Defaults) -> Availability:
    if is_blank(cells.get("in_stock?")) and (stock := text_of(cells, "stock")).lstrip("-").isdigit():
        if int(stock) > 0:
            return "in_stock"
        return "preorder" if text_of(cells, "backorders_allowed?") in ("1", "notify") else "out_of_stock"
    return defaults.availability(cells, "in_stock?") or "in_stock"


def _woocommerce_pricing(cells: Row, defaults: Defaults) -> Pricing:
    begins, ends = cells.get("date_sale_price_starts"), cells.get("date_sale_price_ends")
    return _pricing(cells, "regular_price", "sale_price", (begins, ends), defaults)


def _attributes(cells: Row) -> Iterator[str]:
    for number in range(1, 20):
        name = text_of(cells, f"attribute_{number}_name")
        if name.lower() in TAG_OPTIONS:
            for word in _COMMA.split(text_of(cells, f"attribute_{number}_value(s)")):
                yield from texts.words(word.lower())


def magento_groups(rows: Iterable[tuple[int, Row]]) -> Groups:
    """By `sku`; the parts of a configurable or grouped product belong to that as well."""
    numbers: dict[int, tuple[str, bool]] = {}
    parents: dict[str, list[str]] = {}
    for number, row in rows:
        cells = rename_columns(row)
        sku = id_of(cells, "sku")
        if text_of(cells, "store_view_code"):
            continue
        numbers[number] = sku, text_of(cells, "visibility").lower() != "not visible individually"
        for part in _parts(cells):
            parents.setdefault(part, []).append(sku)
    return {
        number: (sku, *parents.get(sku, ())) if is_visible or sku not in parents else tuple(parents[sku])
        for number, (sku, is_visible) in numbers.items()
    }


def _parts(cells: Row) -> list[str]:
    variations = text_of(cells, "configurable_variations")
    found = re.findall(r"(?:^|[|,])\s*sku=([^,|]+)", variations)
    found += [each.partition("=")[0] for each in _COMMA.split(text_of(cells, "associated_skus"))]
    return [each.strip() for each in found if each.strip()]


def magento_product(rows: Sequence[Row], defaults: Defaults) -> Product:
    """The product of a group. Raises BadValue, and NotForSale for what the shop does not show."""
    every = [rename_columns(row) for row in rows]
    if len(every) == 1 and text_of(every[0], "store_view_code"):
        raise NotForSale("texts of a store view")
    own = next((each for each in every if _parts(each)), every[0])
    if text_of(own, "product_online") not in ("", "1"):
        raise NotForSale("disabled")
    if text_of(own, "visibility").lower() == "not visible individually":
        raise NotForSale("not visible individually, and part of no product in the file")
    parts = set(_parts(own))
    variants = [
        each for each in every if id_of(each, "sku") in parts and text_of(each, "product_online") in ("", "1")
    ]
    state, pricing = _best(variants or [own], defaults, _magento_state, _magento_pricing)
    if variants and _whole(own.get("is_in_stock")) == "0":
        state = "out_of_stock"  # the whole product, whatever its parts say
    paths = [
        [step.replace(r"\/", "/") for step in _SLASH.split(each)][1:] for each in _list_of(own, "categories")
    ]
    category, shelves = texts.deepest(list(map(texts.path, paths)))
    told = dict(each.partition("=")[::2] for each in _list_of(own, "additional_attributes"))
    words = [word for each in [own, *variants] for word in _magento_words(each)]
    key = text_of(own, "url_key")
    return product_of(
        {
            "product_id": id_of(own, "sku"),
            "name": text_of(own, "name"),
            "description": text_of(own, "description", "short_description"),
            "price": pricing.price,
            "currency": pricing.currency,
            "price_changes": pricing.changes,
            "availability": state,
            "brand": text_of(told, "brand", "manufacturer"),
            "category": category,
            "type": category[-1] if category else None,
            "tags": texts.tags(shelves, words, pricing.tags),
            "image_url": _magento_picture(text_of(own, "base_image", "small_image")),
            "url": f"/{key}.html" if key else None,
            "updated_at": read_moment(own.get("updated_at"), "updated_at"),
        },
        defaults,
    )


def _magento_picture(path: str) -> str:
    """Pictures are told by their place in the shop's media folder."""
    is_whole = not path or path == "no_selection" or "://" in path
    return path.removeprefix("no_selection") if is_whole else f"/media/catalog/product/{path.lstrip('/')}"


def _list_of(cells: Row, name: str) -> list[str]:
    return [each for each in _COMMA.split(text_of(cells, name)) if each]


def _magento_words(cells: Row) -> Iterator[str]:
    for each in _list_of(cells, "additional_attributes"):
        name, _, value = each.partition("=")
        if name.lower() in TAG_OPTIONS:
            yield from texts.words(value.lower())


def _magento_state(cells: Row, defaults: Defaults) -> Availability:
    stock = cells.get("is_in_stock")
    if text_of(cells, "manage_stock") == "0" and text_of(cells, "use_config_manage_stock") == "0":
        return "in_stock"
    state = defaults.availability(cells | {"is_in_stock": _whole(stock)}, "is_in_stock") or "in_stock"
    quantity = text_of(cells, "qty")
    is_gone = re.fullmatch(r"-?\d+(\.\d+)?", quantity) is not None and float(quantity) <= 0
    if state == "in_stock" and is_gone and _whole(cells.get("allow_backorders")) in ("1", "2"):
        return "preorder"
    return state


def _whole(value: object) -> object:
    """Magento writes 1 as 1.0000."""
    return re.sub(r"\.0+$", "", value.strip()) if isinstance(value, str) else value


def _magento_pricing(cells: Row, defaults: Defaults) -> Pricing:
    period = cells.get("special_price_from_date"), cells.get("special_price_to_date")
    return _pricing(cells, "price", "special_price", period, defaults)


def shopify_groups(rows: Iterable[tuple[int, Row]]) -> Groups:
    """By handle: the first row of a product has its texts, the others a variant or a picture each."""
    found = ((number, id_of(rename_columns(row), "handle", "url_handle")) for number, row in rows)
    return {number: (handle,) for number, handle in found if handle}


def shopify_table_product(rows: Sequence[Row], defaults: Defaults) -> Product:
    """The product of a handle's rows. Raises BadValue, and NotForSale as `shopify_product`."""
    every = [rename_columns(row) for row in rows]
    own = next((each for each in every if text_of(each, "title")), every[0])
    published = text_of(own, "published", "published_on_online_store").lower()
    pictures = [text for each in every if (text := text_of(each, "image_src", "product_image_url"))]
    names = {number: text_of(own, f"option{number}_name") for number in (1, 2, 3)}
    product: Row = {
        "id": id_of(own, "handle", "url_handle"),
        "handle": id_of(own, "handle", "url_handle"),
        "title": text_of(own, "title"),
        "body_html": text_of(own, "body_(html)", "description"),
        "vendor": text_of(own, "vendor"),
        "product_type": text_of(own, "type", "custom_product_type", "product_category"),
        "tags": text_of(own, "tags"),
        "status": text_of(own, "status"),
        "images": [{"src": each} for each in pictures],
        "options": [
            {"name": name, "values": [text_of(each, f"option{number}_value") for each in every]}
            for number, name in names.items()
        ],
        "variants": [
            _variant(each) for each in every if not is_blank(each.get("variant_price", each.get("price")))
        ],
    }
    if published in ("false", "0", "no"):
        product["published_at"] = None
    return shopify_product(product, defaults)


def _variant(cells: Row) -> Row:
    tracker = text_of(cells, "variant_inventory_tracker", "inventory_tracker")
    goes_on = text_of(cells, "variant_inventory_policy", "continue_selling_when_out_of_stock").lower()
    return {
        "price": cells.get("variant_price", cells.get("price")),
        "compare_at_price": cells.get("variant_compare_at_price", cells.get("compare-at_price")),
        "inventory_management": tracker or None,
        "inventory_quantity": cells.get("variant_inventory_qty", cells.get("inventory_quantity")),
        "inventory_policy": "continue" if goes_on in ("continue", "true") else "deny",
    }


def _pricing(
    cells: Row, regular: str, reduced: str, period: tuple[object, object], defaults: Defaults
) -> Pricing:
    def read_time() -> Period | None:
        return read_period(*period, defaults, f"the time of {reduced}")

    price = defaults.money(cells.get(regular), field=regular)
    return make_pricing(price, cells.get(reduced), defaults, read_time, reduced)


def _best(
    variants: Sequence[Row],
    defaults: Defaults,
    state_of: Callable[[Row, Defaults], Availability],
    pricing_of: Callable[[Row, Defaults], Pricing],
) -> tuple[Availability, Pricing]:
    """Availability and pricing of what can be bought: the best state, and of it the cheapest.

    A variant that has no price or no known state is told, and left out, unless it is the only one.
    """
    found: list[tuple[int, Pricing]] = []
    failure: BadValue | None = None
    for each in variants:
        try:
            found.append((BEST_FIRST.index(state_of(each, defaults)), pricing_of(each, defaults)))
        except BadValue as error:
            failure = error
            if len(variants) > 1:
                defaults.tell(f"a variant is left out: {error.reason}", error.value)
    if not found:
        raise failure or BadValue("price: is missing")
    rank, pricing = min(found, key=lambda each: (each[0], each[1].price))
    return BEST_FIRST[rank], pricing
