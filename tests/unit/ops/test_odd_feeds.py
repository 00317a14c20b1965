"""Whatever stands in a feed, its rows become products, or are refused with a reason; nothing else happens."""

import json
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import products
from schemas.products import Product
from services.ops.catalogue.cell_values import Defaults
from services.ops.catalogue.file_formats import Feed, UnreadableFile
from services.ops.catalogue.mappings import BadRow, OmittedRow, detect, entries, events
from tests.support.feeds import DEFAULTS, write_file

HEADERS = {
    "google": ("id,item_group_id,title,price,sale_price,sale_price_effective_date,availability,product_type"),
    "eddy": "product_id,name,price,currency,availability,updated_at,tags,popularity",
    "woocommerce": (
        "ID,Type,SKU,Name,Published,In stock?,Stock,Sale price,Regular price,Parent,Grouped products"
    ),
    "magento": (
        "sku,store_view_code,attribute_set_code,product_type,name,product_online,visibility,price,"
        "special_price,special_price_to_date,qty,is_in_stock,configurable_variations"
    ),
    "shopify_csv": (
        "Handle,Title,Published,Variant Price,Variant Compare At Price,Variant Inventory Qty,Status"
    ),
}
CELLS = st.sampled_from(
    [
        "", " ", "1", "0", "-1", "1.299", "1.299,00 €", "n/a", "true", "simple", "variable", "variation",
        "grouped", "configurable", "A", "B", "id:1", "A, B", "sku=A,x=y|sku=B", "in stock", "auf Lager",
        "9e999", "nan", "2026-01-01", "2026-01-01/2026-02-01", "0001-01-01T00:00+23:59",
        "99999999999999999999", "<p>&amp;</p>", "[1", '["a"]', "\udcff", "x" * 300, "\x00", "active", "draft",
    ]
)  # fmt: skip


@pytest.mark.parametrize("kind", HEADERS)
@pytest.mark.parametrize("variants", ["separate", "merged"])
def test_any_cells_are_products_or_are_refused(tmp_path: Path, kind: str, variants: str) -> None:
    names = HEADERS[kind].split(",")

    @given(st.lists(st.lists(CELLS, min_size=len(names), max_size=len(names)), min_size=1, max_size=5))
    def take(rows: list[list[str]]) -> None:
        path = tmp_path / "f.tsv"
        text = "\n".join("\t".join(row) for row in [names, *rows])
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        feed = Feed(path)
        with suppress(UnreadableFile):
            mapping = detect(feed)
            assert mapping.name == kind
            defaults = Defaults("EUR", DEFAULTS.updated_at, variants)  # type: ignore[arg-type]
            for number, found in entries(feed, mapping, defaults):
                assert 1 <= number <= len(rows)
                if isinstance(found, Product):
                    assert products.decode(products.encode(found)) == found
                    assert products.check(found) is None
                else:
                    assert isinstance(found, BadRow | OmittedRow)
                    assert found.reason

    take()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "1", "5.00", "x", "active"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["price", "id", "src", "name", "values", "product_id"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@pytest.mark.parametrize(
    "names",
    [
        ("id", "title", "variants", "images", "options", "tags", "published_at", "status"),
        ("product_id", "name", "price", "category", "tags", "availability", "updated_at", "price_changes"),
        ("event_id", "type", "visitor_id", "product_id", "items", "occurred_at", "value"),
    ],
)
def test_any_json_is_products_or_events_or_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    @given(st.fixed_dictionaries(dict.fromkeys(names, JSON)))
    def take(row: dict[str, object]) -> None:
        path = write_file(tmp_path, "f.jsonl", json.dumps(row))
        of_events = "event_id" in names
        with suppress(UnreadableFile):
            mapping = detect(Feed(path), of_events=of_events)
            if of_events:
                list(events(Feed(path), mapping))
            else:
                list(entries(Feed(path), mapping, DEFAULTS))

    take()


@given(
    st.binary(max_size=80)
    | st.text(st.sampled_from("<>/item&;\"'[]{}:,\n\t =id"), max_size=80).map(str.encode)
)
def test_any_bytes_are_rows_or_are_refused(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        for name in ("f", "f.xml", "f.jsonl", "f.csv"):
            for head in (b"", b"<rss><channel><item><id>1</id><title>a</title></item>", b"id,title,price\n"):
                path = Path(folder) / name
                path.write_bytes(head + content)
                with suppress(UnreadableFile):
                    feed = Feed(path)
                    list(entries(feed, detect(feed), DEFAULTS))
