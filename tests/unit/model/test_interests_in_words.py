"""An interest's vector in words: what the visitor looked at can be read off it."""

from dataclasses import replace as with_
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas.events import Event, EventType
from schemas.sessions import Session
from services.model import interests
from services.model.interests import InterestContext, InterestInWords
from services.model.session import Tuning, fold
from services.ops.inspect.product.vectors import layout_of
from services.ops.inspect.visitor.summary import Names
from tests.support.interests import (
    BOOTS,
    CATALOGUE,
    EMBEDDED,
    LAMPS,
    LAYOUT,
    SHOES,
)

NAME = Names({each.product_id: each for each in CATALOGUE})


def session(*deeds: tuple[EventType, str]) -> Session:
    """After these events, a second apart."""
    folded = Session("v")
    for number, (type_, product_id) in enumerate(deeds):
        event = Event(
            event_id=str(UUID(int=number + 1)),
            type=type_,
            visitor_id="v",
            occurred_at=1_000 * number,
            product_id=product_id,
        )
        folded = fold(folded, event, EMBEDDED.vectors, LAYOUT, Tuning())
    return folded


def tell(*deeds: tuple[EventType, str]) -> tuple[InterestInWords, ...]:
    return interests.describe(InterestContext(session(*deeds), EMBEDDED, Tuning(), NAME))


def test_one_cart_tells_category_type_colour_brand_price_and_cause() -> None:
    [found] = tell(("add_to_cart", "boots-4"))
    assert found.path == BOOTS
    assert [each.word for each in found.types] == ["boots"]
    assert [each.word for each in found.brands] == ["Ilse"]
    assert [each.word for each in found.tags] == ["blue"]
    assert found.price is not None
    assert found.price.about == pytest.approx(60, rel=0.03)
    assert found.nearest[0].product.product_id == "boots-4"
    assert found.nearest[0].likeness == pytest.approx(1, abs=0.01)
    assert found.sentence == (
        "Women > Shoes > Boots: boots, blue, Ilse, about 60 EUR; because of boots-4 Boots 4 (added to cart)"
    )


def test_a_colour_counts_as_much_as_what_it_was_seen_on() -> None:
    [found] = tell(("view_item", "boots-0"), ("purchase", "boots-4"), ("remove_from_cart", "boots-8"))
    assert [each.word for each in found.tags] == ["blue", "red"], "the purchase first, nothing put back"
    assert "boots, blue, red," in found.sentence


def test_two_shelves_are_two_interests_the_stronger_first() -> None:
    found = tell(("view_item", "lamps-3"), ("add_to_cart", "sneakers-0"), ("view_item", "sneakers-12"))
    assert [each.category for each in found] == ["Women", "Home"]
    assert [each.path for each in found] == [SHOES, LAMPS]
    assert found[0].weight > found[1].weight
    assert found[0].price is not None
    assert (found[0].price.low, found[0].price.high) == (20, 140)
    assert [each.product.product_id for each in found[0].made_of] == ["sneakers-0", "sneakers-12"]
    assert sum(each.share for each in found[0].made_of) == pytest.approx(1, abs=0.01)


def test_boots_and_sneakers_alike_are_told_as_shoes() -> None:
    [found] = tell(
        *(("view_item", f"{kind}-{number}") for number in range(4) for kind in ("boots", "sneakers"))
    )
    assert found.path == ("Women", "Shoes")
    assert {each.word for each in found.types} == {"boots", "sneakers"}
    assert found.brands[0].word == "Okapi", "the newest counts most"


def test_what_was_put_back_counts_against_it() -> None:
    [found] = tell(("add_to_cart", "boots-4"), ("view_item", "boots-1"), ("remove_from_cart", "boots-9"))
    shares = {each.product.product_id: each.share for each in found.made_of}
    assert shares["boots-9"] < 0 < shares["boots-1"]


def test_an_interest_that_cancels_out_has_no_words_but_its_cause() -> None:
    known = session(("view_item", "boots-4"))
    [interest] = known.interests
    empty = replace(known, interests=(replace(interest, vector=bytes(len(interest.vector))),))
    [found] = interests.describe(InterestContext(empty, EMBEDDED, Tuning(), NAME))
    assert found.nearest == ()
    assert found.sentence == "Women; because of boots-4 Boots 4 (looked at)"


def test_without_vectors_of_products_category_and_cause_are_told() -> None:
    [found] = interests.name_only(session(("purchase", "lamps-2")), NAME)
    assert found.sentence == "Home; because of lamps-2 Lamps 2 (bought)"


def test_other_weights_than_the_session_was_made_with_change_no_word() -> None:
    known = session(("view_item", "boots-4"), ("add_to_cart", "lamps-4"))
    ground = InterestContext(known, EMBEDDED, Tuning(), NAME)
    other = with_(ground, tuning=Tuning(interests_max=0))
    assert [each.sentence.split(";")[1] for each in interests.describe(ground)] == [
        each.sentence.split(";")[1] for each in interests.describe(other)
    ]
    assert not interests.parts_of(other)


TYPES = st.sampled_from(["view_item", "add_to_cart", "remove_from_cart", "purchase"])
IDS = st.sampled_from([each.product_id for each in CATALOGUE])


@given(st.lists(st.tuples(TYPES, IDS), max_size=30))
def test_any_session_can_be_told(deeds: list[tuple[EventType, str]]) -> None:
    known = session(*deeds)
    found = interests.describe(InterestContext(known, EMBEDDED, Tuning(), NAME))
    assert [each.category for each in found] == [each.category for each in known.interests]
    for each in found:
        assert each.sentence.startswith(each.category)
        assert all(near.likeness <= 1.001 for near in each.nearest)


def test_tags_that_all_of_a_category_have_tell_nothing() -> None:
    common = [replace(each, tags=("new", *each.tags)) for each in CATALOGUE[:32]]
    red = [(each, 1.0) for each in common if "red" in each.tags]
    [found] = interests.distinctive_tags(red, common)
    assert (found.word, found.share, found.share_of_all) == ("red", 1.0, 0.25)
    assert interests.distinctive_tags([], common) == ()


def test_a_layout_is_known_by_what_a_message_says() -> None:
    assert layout_of(LAYOUT.id) == LAYOUT
    for foreign in ("", "v0/text:1", "v1", "v1/text:0384", "v1/text", LAYOUT.id + "/", "int8/" + LAYOUT.id):
        assert layout_of(foreign) is None
