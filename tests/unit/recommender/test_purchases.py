"""What was bought is not wanted again at once, what goes with it is, and what is used up comes back."""

import numpy as np
import pytest

from schemas.events import EventType
from schemas.products import Product
from schemas.sessions import KIND_OF, Session, SessionEvent, pack_purchases, purchase_digest
from schemas.times import DAY_MS
from services.model.repurchase import Repeat, Repeats
from services.recommender.catalogue import Catalogue
from services.recommender.pipeline.purchases import LEAST, PurchaseEffects, find_effects

NOW = 1_767_225_600_000
REPEATS = Repeats({"Coffee": Repeat(0.8, 20.0, 100)})


def product(product_id: str, type_: str | None, category: str = "Home") -> Product:
    return Product(
        product_id=product_id,
        name=product_id,
        price=1.0,
        currency="EUR",
        availability="in_stock",
        updated_at=0,
        category=(category, "Some"),
        type=type_,
    )


@pytest.fixture
def catalogue() -> Catalogue:
    found = Catalogue(clock=lambda: NOW)
    for product_id, type_ in (("lamp", "Lamp"), ("lamp2", "Lamp"), ("beans", "Coffee"), ("rug", "Rug")):
        found.put(product(product_id, type_))
    found.put(product("plain", None))
    return found


def effects(catalogue: Catalogue, bought: dict[str, float], *later: tuple[str, EventType]) -> PurchaseEffects:
    """Products and how many days ago they were bought; then events of the last minute."""
    purchases = {purchase_digest(each): int((NOW - days * DAY_MS) // 1000) for each, days in bought.items()}
    events = tuple(
        SessionEvent(NOW - 60_000 + number, bytes([number]), product_id, KIND_OF[type_])
        for number, (product_id, type_) in enumerate(later)
    )
    session = Session("v", events, bought=pack_purchases(purchases, 256))
    return find_effects(session, catalogue, REPEATS, NOW)


def factors(catalogue: Catalogue, found: PurchaseEffects, *product_ids: str) -> list[float]:
    numbers = catalogue.numbers.number_all(product_ids)
    told = found.factors_of(catalogue.shelf_codes(numbers))
    return [1.0] * len(product_ids) if told is None else np.round(told, 2).tolist()


def test_all_of_a_durables_kind_give_way_and_nothing_else(catalogue: Catalogue) -> None:
    found = effects(catalogue, {"lamp": 1})
    lamp, other, rug = factors(catalogue, found, "lamp", "lamp2", "rug")
    assert lamp == other < LEAST
    assert rug == 1


def test_they_come_back_over_weeks(catalogue: Catalogue) -> None:
    told = [
        factors(catalogue, effects(catalogue, {"lamp": days}), "lamp2")[0] for days in (0, 7, 21, 60, 200)
    ]
    assert told == sorted(told)
    assert told[2] == pytest.approx(0.51, abs=0.02)
    assert told[-1] == 1


def test_who_looks_for_another_one_is_shown_it(catalogue: Catalogue) -> None:
    looked: tuple[str, EventType] = ("lamp2", "view_item")
    none, one, two = (
        factors(catalogue, effects(catalogue, {"lamp": 1}, *[looked] * count), "lamp2")[0]
        for count in range(3)
    )
    assert none < one < two
    assert one >= 0.5
    against = effects(catalogue, {"lamp": 1}, ("lamp2", "dismiss_item"))
    assert factors(catalogue, against, "lamp2") == [none]


def test_a_consumable_is_due_when_it_is_used_up(catalogue: Catalogue) -> None:
    assert effects(catalogue, {"beans": 3}).due == ()
    assert effects(catalogue, {"beans": 22}).due[0].product.product_id == "beans"
    assert effects(catalogue, {"beans": 90}).due == ()
    assert effects(catalogue, {"lamp": 22}).due == ()


def test_the_newest_purchases_give(catalogue: Catalogue) -> None:
    found = effects(catalogue, {"lamp": 14, "rug": 0, "beans": 61})
    assert [(each.product.product_id, round(each.share, 2)) for each in found.givers] == [
        ("rug", 1.0),
        ("lamp", 0.5),
    ]


def test_a_product_without_a_type_stands_where_its_category_is(catalogue: Catalogue) -> None:
    catalogue.put(product("plain2", None))
    assert factors(catalogue, effects(catalogue, {"plain": 0}), "plain2", "rug") == pytest.approx([0.02, 1])


def test_without_purchases_nothing_moves(catalogue: Catalogue) -> None:
    found = effects(catalogue, {}, ("lamp", "view_item"))
    assert found == PurchaseEffects()
    assert found.factors_of(np.array([0], np.int32)) is None
