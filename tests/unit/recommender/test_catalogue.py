"""The products as they are now, and those that are popular among them."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schemas.products import SALE, PriceChange, Product, at_moment
from schemas.sessions import purchase_digest
from services.recommender.catalogue import Catalogue
from services.recommender.index.port import AVAILABLE, Where


def product(number: int, **fields: object) -> Product:
    made = Product(
        product_id=f"p{number}",
        name="x",
        price=float(number),
        currency="EUR",
        availability="in_stock",
        updated_at=0,
        category=("Shelf", str(number % 3)),
        brand=f"brand {number % 5}",
        popularity=1 / (number + 1),
    )
    return msgspec.structs.replace(made, **fields)


def fill(count: int = 30) -> Catalogue:
    catalogue = Catalogue()
    for number in range(count):
        catalogue.put(product(number))
    return catalogue


def popular(catalogue: Catalogue, k: int, where: Where | None = None, brand_max: int = 99) -> list[str]:
    return [each.product_id for each in catalogue.popular(k, where or Where(), brand_max)]


@given(st.permutations([1, 2, 3, 4]))
def test_the_newest_description_counts_whatever_the_order(order: list[int]) -> None:
    catalogue = Catalogue()
    for updated_at in order:
        catalogue.put(product(1, updated_at=updated_at, price=float(updated_at)))
    newest = catalogue.get("p1")
    assert newest is not None
    assert newest.price == 4.0


def test_what_changes_nothing_is_told() -> None:
    catalogue = fill(1)
    assert not catalogue.put(product(0))
    assert catalogue.put(product(0, price=9.0))
    assert catalogue.remove("p0")
    assert not catalogue.remove("p0")


def test_popular_are_the_most_popular_not_all_of_one_shelf_or_brand() -> None:
    assert popular(fill(), 3)[0] == "p0"
    brands = [int(each[1:]) % 5 for each in popular(fill(), 10, brand_max=2)]
    assert max(brands.count(brand) for brand in brands) == 2


def test_a_short_shelf_still_fills_the_row() -> None:
    catalogue = Catalogue()
    for number in range(8):
        catalogue.put(product(number, category=("One",), brand="One"))
    assert len(popular(catalogue, 8, brand_max=2)) == 8


def test_popular_respects_filters_and_changes() -> None:
    catalogue = fill()
    catalogue.put(product(0, availability="out_of_stock", updated_at=1))
    assert "p0" not in popular(catalogue, 30, Where(availability=AVAILABLE))
    assert set(popular(catalogue, 30, Where(price_max=3, exclude=frozenset({"p2"})))) == {"p0", "p1", "p3"}
    assert popular(catalogue, 5, Where(category=frozenset({"Shelf/1"})))[0] == "p1"
    assert popular(catalogue, 5, Where(category=frozenset({"She"}))) == []


def test_what_fits_a_filter_is_known_anew_when_the_product_changes() -> None:
    catalogue = Catalogue()
    numbers = catalogue.numbers.number_all(["p0", "p1"])

    def find_shown(where: Where) -> list[bool]:
        return [bool(each) for each in catalogue.filter(where).mask(numbers)]

    where = Where(availability=AVAILABLE, exclude=frozenset({"p0", "unheard of"}))
    assert find_shown(where) == [False, False]
    catalogue.put(product(0))
    catalogue.put(product(1))
    assert find_shown(where) == [False, True]
    catalogue.put(product(1, availability="out_of_stock", updated_at=10))
    assert find_shown(where) == [False, False]
    assert find_shown(Where()) == [True, True]
    catalogue.remove("p1")
    assert find_shown(Where()) == [True, False]


def test_a_filter_knows_products_that_came_after_it() -> None:
    catalogue = Catalogue()
    catalogue.put(product(0))
    shown = catalogue.filter(Where(exclude=frozenset({"p0", "unheard of"})))
    for number in range(1, 3000):
        catalogue.put(product(number))
    later = catalogue.numbers.number_all(["p0", "p1", "p2999", "not in the catalogue"])
    assert shown.mask(later).tolist() == [False, True, True, False]


def test_brands_that_are_in_a_row_already_count_in_what_fills_it() -> None:
    found = fill().popular(5, Where(), 2, beside=["brand 0", "brand 0", None, "brand 1"])
    brands = [int(each.product_id[1:]) % 5 for each in found]
    assert brands.count(0) == 0
    assert brands.count(1) == 1


def test_what_visitors_did_lately_counts_beside_the_shop_s_own_figure() -> None:
    catalogue = fill()
    catalogue.count({"p9": 100.0, "p8": 1.0, "gone": 5.0})
    assert popular(catalogue, 2) == ["p9", "p0"]
    catalogue.count({})
    assert popular(catalogue, 2)[0] == "p0"


def test_a_text_names_the_brands_that_products_have_now_as_whole_words() -> None:
    catalogue = Catalogue()
    catalogue.put(product(1, brand="Ilse"))
    catalogue.put(product(2, brand="Alma  & Co"))
    assert sorted(catalogue.brands_in("shoes like ILSE or alma & co")) == ["alma & co", "ilse"]
    assert list(catalogue.brands_in("pilsener")) == []
    catalogue.put(product(3, brand="Ilse"))
    catalogue.put(product(1, brand=None, updated_at=1))
    assert list(catalogue.brands_in("ilse")) == ["ilse"]
    catalogue.remove("p3")
    assert list(catalogue.brands_in("ilse")) == []


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.none() | st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.booleans()),
        max_size=20,
    ),
    st.dictionaries(st.integers(0, 5).map("p{}".format), st.sampled_from([0.5, 2.0, 30.0])),
)
def test_the_order_by_popularity_is_kept_up_with_every_change(
    changes: list[tuple[int, float | None, bool]], counts: dict[str, float]
) -> None:
    kept = fill(3)
    kept.count(counts)
    for time, (number, figure, is_gone) in enumerate(changes, start=1):
        if is_gone:
            kept.remove(f"p{number}")
        else:
            kept.put(product(number, popularity=figure, updated_at=time))
        anew = Catalogue()
        anew.count(counts)
        for each in kept.products():
            anew.put(each)
        assert kept.popular(9, Where(), 99) == anew.popular(9, Where(), 99)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=20))
def test_products_are_found_by_what_sessions_remember_of_purchases(changes: list[tuple[int, bool]]) -> None:
    catalogue = Catalogue()
    for number, is_gone in changes:
        _ = catalogue.remove(f"p{number}") if is_gone else catalogue.put(product(number))
    digests = [purchase_digest(f"p{number}") for number in range(6)]
    assert catalogue.find_by_digest(digests) == {each.product_id for each in catalogue.products()}


def on_sale(until: int, price: float = 60.0) -> Product:
    changes = (PriceChange(at=until, price=100.0),)
    return product(1, price=price, tags=("blue", SALE), price_changes=changes)


def test_a_sale_that_ends_takes_its_price_with_it_without_a_new_message() -> None:
    now = [1_000.0]
    catalogue = Catalogue(clock=lambda: now[0])
    assert catalogue.put(on_sale(until=5_000))
    assert catalogue.change_prices() == []
    cheap = Where(price_max=70.0)
    assert catalogue.allows("p1", cheap)
    now[0] = 5_000.0
    assert catalogue.change_prices() == ["p1"]
    found = catalogue.get("p1")
    assert found is not None
    assert (found.price, found.tags, found.price_changes) == (100.0, ("blue",), ())
    assert not catalogue.allows("p1", cheap)
    assert catalogue.change_prices() == []


def test_a_sale_begins_and_ends_and_a_message_that_comes_late_or_again_changes_nothing() -> None:
    now = [1_000.0]
    catalogue = Catalogue(clock=lambda: now[0])
    changes = (PriceChange(at=2_000, price=60.0, on_sale=True), PriceChange(at=3_000, price=100.0))
    announced = product(1, price=100.0, price_changes=changes)
    catalogue.put(announced)
    seen = []
    for now[0] in (1_500.0, 2_000.0, 2_500.0, 3_000.0, 9_000.0):
        catalogue.change_prices()
        catalogue.put(announced)
        found = catalogue.get("p1")
        assert found is not None
        seen.append((found.price, SALE in found.tags))
    assert seen == [(100.0, False), (60.0, True), (60.0, True), (100.0, False), (100.0, False)]


def test_a_newer_description_takes_the_price_changes_of_the_former_away() -> None:
    now = [1_000.0]
    catalogue = Catalogue(clock=lambda: now[0])
    catalogue.put(on_sale(until=5_000))
    catalogue.put(product(1, price=80.0, updated_at=1))
    catalogue.put(product(2, price_changes=(PriceChange(at=5_000, price=1.0),)))
    catalogue.remove("p2")
    now[0] = 5_000.0
    assert catalogue.change_prices() == []
    found = catalogue.get("p1")
    assert found is not None
    assert found.price == 80.0


@given(
    st.lists(st.tuples(st.integers(1, 50), st.floats(0, 100), st.booleans()), max_size=6),
    st.lists(st.integers(0, 60), max_size=8),
)
def test_a_price_at_a_moment_is_the_same_however_often_it_was_looked_at_before(
    told: list[tuple[int, float, bool]], looks: list[int]
) -> None:
    changes = [PriceChange(at=at, price=price, on_sale=sale) for at, price, sale in sorted(told)]
    first = product(1, price_changes=tuple(changes))
    step = first
    for at in sorted(looks):
        step = at_moment(step, at)
        assert step == at_moment(first, at)
        assert all(each.at > at for each in step.price_changes)
