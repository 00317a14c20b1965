"""Where nothing fits all wishes of a search: which of them gives way, and the sentence for it. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Final

import msgspec

from schemas.live import RecommendedItem
from schemas.products import Product
from services.recommender.index.port import Where
from services.recommender.search.query import Inferred
from services.recommender.search.text import english, is_plural, key_of, plural

# Query parameter → fields of Where, and of Inferred. Exclusions give way last: "not black" is meant so.
WISHES: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "type": (("type",), "types"),
    "category": (("category",), "categories"),
    "brand": (("brand",), "brands"),
    "price": (("price_min", "price_max"), ""),
    "without_type": (("without_type",), "not_types"),
    "without_category": (("without_category",), "not_categories"),
    "without_brand": (("without_brand",), "not_brands"),
    "without_tag": (("without_tag",), "not_tags"),
}
SIGNS: Final = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "INR": "₹"}


class WishCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many `products` fit a search without one value of a parameter; "" is the value of the price."""

    parameter: str
    value: str
    products: int


@dataclass(frozen=True, slots=True)
class Relaxation:
    """Filters that let something through, and the parameters that had to give way for it."""

    where: Where
    dropped: frozenset[str]
    counts: tuple[WishCount, ...]


def wishes(told: Inferred, given: Where) -> list[str]:
    """The parameters by which the words filter, and not the caller: his filters never give way."""
    found = []
    for parameter, (fields, inferred) in WISHES.items():
        is_asked = bool(getattr(told, inferred)) if inferred else _has_bounds(told)
        if is_asked and not any(getattr(given, field) for field in fields):
            found.append(parameter)
    return found


def _has_bounds(told: Inferred) -> bool:
    return told.price_min is not None or told.price_max is not None


def relax(products: Iterable[Product], where: Where, given: Where, told: Inferred) -> Relaxation | None:
    """The fewest wishes, and of those the narrowest, without which something fits; None where all is to go.

    A type gives way before others only to what lies beside it: jackets for coats, but no clocks for mugs.
    One pass over all products: some 0.3 s of 100,000, so not in the event loop.
    """
    asked = wishes(told, given)
    tests = {parameter: _test(parameter, where) for parameter in asked}
    base = _drop(asked, where, given)
    counts: dict[tuple[str, ...], int] = {}  # wishes that a product fails → how many products do
    candidates: list[Product] = []
    of_type: list[Product] = []
    for product in products:
        if told.types and product.type in told.types:
            of_type.append(product)
        if base.allows(product):
            failed = tuple(each for each, fits in tests.items() if not fits(product))
            counts[failed] = counts.get(failed, 0) + 1
            if failed == ("type",):
                candidates.append(product)
    failures = {frozenset(failed): count for failed, count in counts.items()}
    if not failures or frozenset() in failures:
        return None
    fitting = {each: sum(n for failed, n in failures.items() if each not in failed) for each in asked}
    far = frozenset() if _is_beside(of_type, candidates) else frozenset({"type"})
    dropped = min(failures, key=lambda failed: _reluctance(failed, far, fitting))
    if len(dropped) == len(asked) and len(asked) > 1:
        return None
    wider = _drop(dropped, where, given)
    if dropped == {"type"}:
        wider = replace(wider, category=_beside(of_type, candidates) or wider.category)
    return Relaxation(wider, dropped, tuple(_count(asked, failures, told)))


def _reluctance(
    failed: frozenset[str], far: frozenset[str], fitting: Mapping[str, int]
) -> tuple[int, int, bool, int, list[str]]:
    """The fewer wishes the better, and of as many the narrower; the names make it the same each time."""
    exclusions = sum(each.startswith("without") for each in failed)
    return (len(failed), exclusions, failed == far, sum(fitting[each] for each in failed), sorted(failed))


def _test(parameter: str, where: Where) -> Callable[[Product], bool]:
    """The filters of one parameter alone, as `Where.allows` has them, but for four times as many products."""
    only = replace(Where(), **{field: getattr(where, field) for field in WISHES[parameter][0]})
    if parameter == "type":
        return lambda product: product.type in only.type
    if parameter == "brand":
        return lambda product: product.brand in only.brand
    if parameter == "price":
        least, most = only.price_min or 0.0, inf if only.price_max is None else only.price_max
        return lambda product: least <= product.price <= most
    if parameter.endswith("category"):
        known: dict[tuple[str, ...], bool] = {}  # products have few paths

        def lies_there(product: Product) -> bool:
            found = known.get(product.category)
            if found is None:
                found = known[product.category] = only.allows(product)
            return found

        return lies_there
    return only.allows


def _drop(parameters: Iterable[str], where: Where, given: Where) -> Where:
    fields = [field for parameter in parameters for field in WISHES[parameter][0]]
    return replace(where, **{field: getattr(given, field) for field in fields})


def _is_beside(of_type: Sequence[Product], candidates: Sequence[Product]) -> bool:
    """Whether some candidate shares a shelf below the top with the type, where there are any."""
    shelves = {step for product in of_type for step in product.category[1:]}
    return not shelves or any(shelves.intersection(product.category[1:]) for product in candidates)


def _beside(of_type: Sequence[Product], candidates: Sequence[Product]) -> frozenset[str]:
    """The shelves of the candidates that lie nearest to those of the type: jackets for coats, and no mugs."""
    steps = {step for product in of_type for step in product.category}
    shared = {product.category: len(steps.intersection(product.category)) for product in candidates}
    most = max(shared.values(), default=0)
    return frozenset("/".join(path) for path, count in shared.items() if path and count == most)


def _count(
    asked: Sequence[str], failures: Mapping[frozenset[str], int], told: Inferred
) -> Iterable[WishCount]:
    for parameter in asked:
        inferred = WISHES[parameter][1]
        values = getattr(told, inferred) if inferred else ("",)
        # Of "coats or jackets" one alone taken away leaves the other, of which there is nothing either.
        is_only = len(values) == 1
        for value in values:
            found = failures.get(frozenset({parameter}), 0) if is_only else 0
            yield WishCount(parameter=parameter, value=value, products=found)


# sentences


def say_relaxed(
    told: Inferred, dropped: frozenset[str], row: Sequence[RecommendedItem], kinds: Sequence[str]
) -> str:
    """ "No coats for kids up to €40. Jackets for kids up to €40:" `kinds` are the types of what is shown."""
    currency = told.currency or (row[0].currency if row else None)
    kept = {WISHES[each][1]: () for each in dropped if WISHES[each][1]}
    rest = msgspec.structs.replace(told, **kept)
    if "price" in dropped:
        rest = msgspec.structs.replace(rest, price_min=None, price_max=None, price_near=None)
    if "type" in dropped:
        [(kind, count)] = Counter(kinds).most_common(1) or [("", 0)]
        rest = msgspec.structs.replace(rest, types=(kind,) if kind and 2 * count >= len(kinds) else ())
    return f"No {describe(told, currency)}. {_capital(describe(rest, currency))}:"


def say_nothing_fits(told: Inferred) -> str:
    """Where no single wish is in the way."""
    return f"No {describe(told, told.currency)}. What is popular:"


def say_nothing_is_like(words: str) -> str:
    """For words of no language."""
    return f"Nothing is like “{words}”: these are popular."


def describe(told: Inferred, currency: str | None) -> str:
    """What is asked for in a few words: "coats for kids by Ilse up to €40, not black"."""
    people, shelves = _people_and_shelves(told.categories)
    things = [_many(kind) for kind in told.types] or [shelf.lower() for shelf in shelves] or ["products"]
    parts = [_either(things)]
    if people:
        parts.append(f"for {_either([each.lower() for each in people])}")
    if told.brands:
        parts.append(f"by {_either(told.brands)}")
    if bounds := _bounds(told, currency):
        parts.append(bounds)
    without = [
        *map(_many, told.not_types), *(path.rpartition("/")[2] for path in told.not_categories),
        *(f"by {name}" for name in told.not_brands), *told.not_tags,
    ]  # fmt: skip
    return " ".join(parts) + (f", not {_either(without)}" if without else "")


def _people_and_shelves(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    words = {word for each in english().people.values() for word in each.words}
    people: dict[str, None] = {}
    shelves: dict[str, None] = {}
    for path in paths:
        steps = path.split("/")
        said = [step for step in steps if key_of(step) in words]
        people.update(dict.fromkeys(said))
        shelves.update(dict.fromkeys(steps[-1:] if steps[-1] not in said else []))
    return list(people) if len(people) == 1 or not shelves else [], list(shelves)


def _many(kind: str) -> str:
    first, _, last = kind.rpartition(" ")
    return kind if is_plural(last) else f"{first} {plural(last)}".strip()


def _bounds(told: Inferred, currency: str | None) -> str:
    least, most = told.price_min, told.price_max
    if told.price_near is not None and least is not None:
        return f"around {_money(told.price_near, currency)}"
    if least is not None and most is not None:
        return f"from {_money(least, currency)} to {_money(most, currency)}"
    if most is not None:
        return f"up to {_money(most, currency)}"
    return f"from {_money(least, currency)}" if least is not None else ""


def _money(amount: float, currency: str | None) -> str:
    figure = f"{amount:,.0f}" if float(amount).is_integer() else f"{amount:,.2f}"
    sign = SIGNS.get(currency or "")
    return f"{sign}{figure}" if sign else f"{figure} {currency}" if currency else figure


def _either(words: Sequence[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
