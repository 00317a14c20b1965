"""What a full load takes away: what the feed no longer has, at first sold out and later deleted."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from schemas.products import Availability, Product
from schemas.times import DAY_MS
from services.ops.catalogue.cell_values import Defaults
from services.ops.catalogue.feed_choice import FeedChoice
from services.ops.catalogue.file_formats import Feed
from services.ops.catalogue.full_sync import Departures, Since, find_departures, find_ids
from services.ops.catalogue.mappings import detect
from tests.support.feeds import DEFAULTS, write_file

AT = 1_000 * DAY_MS
NOW = AT + DAY_MS


def product(name: str, state: Availability = "in_stock", updated_at: int = AT - DAY_MS) -> Product:
    return Product(
        product_id=name, name=name, price=1.0, currency="EUR", availability=state, updated_at=updated_at
    )


def find(
    products: Iterable[Product], listed: str, gone: Since | None = None, delete_after_ms: float = 30 * DAY_MS
) -> Departures:
    catalogue = {each.product_id: each for each in products}
    return find_departures(
        catalogue, set(listed), gone or {}, at=AT, now=NOW, delete_after_ms=delete_after_ms
    )


def test_what_the_feed_no_longer_has_is_sold_out() -> None:
    found = find(map(product, "abcdefghij"), "abcdefghX")
    assert (found.sold_out, found.deleted, found.waiting, found.newer) == (["i", "j"], [], [], [])
    assert (found.share, found.is_suspicious) == (0.2, False)


def test_more_than_a_fifth_is_suspicious_of_all_or_of_what_can_be_bought() -> None:
    assert find(map(product, "abcdefghij"), "abcdefg").is_suspicious
    shelves = [*map(product, "abc"), *(product(each, "out_of_stock") for each in "defghijklmnop")]
    assert find(shelves, "bcdefghijklmnop").is_suspicious
    assert not find([], "").is_suspicious


def test_what_was_changed_after_the_file_was_written_stays() -> None:
    late = product("b", updated_at=AT + 1)
    found = find([product("a"), late, product("c", updated_at=AT)], "a")
    assert (found.newer, found.sold_out) == (["b"], ["c"])


def test_what_has_been_gone_for_long_enough_is_deleted() -> None:
    sold_out = [product(each, "out_of_stock") for each in "ab"]
    found = find([*sold_out, *map(product, "cdef")], "cdef", {"a": NOW - 30 * DAY_MS, "b": NOW - 29 * DAY_MS})
    assert (found.deleted, found.waiting, found.sold_out) == (["a"], ["b"], [])
    assert found.share == 0.0
    at_once = find(map(product, "abcdefghij"), "abcdefghi", delete_after_ms=0)
    assert (at_once.deleted, at_once.sold_out) == (["j"], [])


def test_a_load_that_was_stopped_between_remembering_and_sending_is_made_up_for() -> None:
    found = find(map(product, "abcdef"), "abcde", {"f": NOW - 40 * DAY_MS})
    assert (found.sold_out, found.deleted) == (["f"], [])


NAMES = "abcdefgh"


@given(
    st.dictionaries(
        st.sampled_from(NAMES),
        st.tuples(st.sampled_from(["in_stock", "out_of_stock", "preorder"]), st.integers(-3, 3)),
    ),
    st.sets(st.sampled_from(NAMES)),
    st.dictionaries(st.sampled_from(NAMES), st.integers(0, 60)),
)
def test_every_product_is_listed_or_newer_or_goes_in_one_way(
    told: dict[str, tuple[Availability, int]], listed: set[str], days: dict[str, int]
) -> None:
    products = [product(name, state, AT + age) for name, (state, age) in told.items()]
    gone = {name: NOW - count * DAY_MS for name, count in days.items()}
    found = find(products, "".join(listed), gone)
    parts = [*found.sold_out, *found.deleted, *found.waiting, *found.newer]
    assert sorted(parts) == sorted(told.keys() - listed)
    assert all(told[name][1] > 0 for name in found.newer)
    assert all(told[name][0] == "out_of_stock" and days[name] >= 30 for name in found.deleted)
    assert 0 <= found.share <= 1


def choice(folder: object, text: str, **more: object) -> FeedChoice:
    feed = Feed(write_file(folder, "f.tsv", text))  # type: ignore[arg-type]
    defaults = Defaults("EUR", DEFAULTS.updated_at, **more)  # type: ignore[arg-type]
    return FeedChoice(feed, detect(feed), defaults)


def test_a_refused_row_still_names_its_product_and_a_broken_one_names_none(tmp_path: object) -> None:
    text = (
        "id\titem_group_id\ttitle\tprice\tavailability\n1\tg\ta\t1 EUR\tin stock\n2\tg\tb\tsoon\tin stock\n"
        "3\t\tc\t1 EUR\t\n4\t\td\t1 EUR\tin stock\tmore\tcells\n"
    )
    assert find_ids(choice(tmp_path, text)) == ({"1", "2", "3"}, 1)
    assert find_ids(choice(tmp_path, text, variants="merged")) == ({"g", "2", "3"}, 1)
