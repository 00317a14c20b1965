"""What becomes of each message about a product."""

from dataclasses import replace
from typing import Any

import pytest

from schemas.vectors import Layout, LayoutMismatch, unpack
from services.embedder.catalogue import (
    Acknowledge,
    Catalogue,
    Effect,
    IncomingProduct,
    Place,
    Publish,
    SendToDlq,
)
from services.embedder.embedding import Order
from services.embedder.errors import HostAway, PictureRefused, Unreadable
from services.embedder.recipe import Recipe
from tests.support.clock import Clock
from tests.support.embedding import LAYOUT, MODELS, RECIPE, one_hot, take_product

ALL = {"text", "image", "caption"}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def catalogue(clock: Clock) -> Catalogue:
    return Catalogue(RECIPE, picture_retry_s=60, timer=clock)


def through_the_models(
    order: Order, *, picture: bool = True, refusal: PictureRefused | None = None, component: int = 1
) -> Order:
    """The order as the models give it back."""
    for name in order.needs:
        if name == "image" and (refusal or not picture):
            order.refusal = refusal or Unreadable("no picture")
        else:
            order.vectors[name] = one_hot(component, dict(LAYOUT.widths)[name])
    return order


def make(catalogue: Catalogue, message: IncomingProduct, **how: Any) -> list[Effect]:
    """Takes a product and lets the models have it."""
    effects = catalogue.take(message)
    for order in catalogue.orders(10):
        effects += catalogue.complete(through_the_models(order, **how))
    return effects


def find_published(effects: list[Effect]) -> Publish:
    [found] = [effect for effect in effects if isinstance(effect, Publish)]
    return found


def segment(effect: Publish, name: str) -> list[float]:
    assert effect.vectors is not None
    values: list[float] = unpack(effect.vectors.content)[LAYOUT.slices[name]].tolist()
    return values


def test_a_new_product_waits_for_the_models_and_is_published_whole(catalogue: Catalogue) -> None:
    assert catalogue.take(take_product(0)) == []
    assert catalogue.waiting_bytes > 0
    [order] = catalogue.orders(10)
    assert order.needs == ALL
    assert catalogue.orders(10) == []
    assert catalogue.waiting_bytes == 0
    effects = catalogue.complete(through_the_models(order))
    assert find_published(effects).outcome == "published"
    assert find_published(effects).place == Place(0, 0)
    assert effects[-1] == Acknowledge(Place(0, 0))
    assert catalogue.waiting == 0


def test_a_change_that_no_model_sees_is_published_at_once(catalogue: Catalogue) -> None:
    before = find_published(make(catalogue, take_product(0)))
    effects = catalogue.take(take_product(1, availability="out_of_stock", price=5.0, updated_at=2_000))
    after = find_published(effects)
    assert after.vectors is not None
    assert after.vectors.product.availability == "out_of_stock"
    assert {name for name, _ in LAYOUT.widths if segment(before, name) != segment(after, name)} == {"price"}
    assert catalogue.orders(10) == []


def test_the_same_again_is_no_news(catalogue: Catalogue) -> None:
    make(catalogue, take_product(0))
    assert catalogue.take(take_product(1)) == [Acknowledge(Place(0, 1), "unchanged")]


def test_only_what_changed_is_made_again_and_the_rest_is_told_meanwhile(catalogue: Catalogue) -> None:
    before = find_published(make(catalogue, take_product(0)))
    effects = catalogue.take(
        take_product(1, description="Lined.", availability="out_of_stock", price=5.0, updated_at=2_000)
    )
    interim = find_published(effects)
    assert (interim.outcome, interim.place) == ("interim", None)
    assert interim.vectors is not None
    assert interim.vectors.product.availability == "out_of_stock"
    assert segment(interim, "text") == segment(before, "text")
    assert segment(interim, "price") != segment(before, "price")
    [order] = catalogue.orders(10)
    assert order.needs == {"text"}
    after = find_published(catalogue.complete(through_the_models(order, component=3)))
    assert segment(after, "text") == [0, 0, 0, 1, 0, 0]
    assert segment(after, "image") == segment(before, "image")
    assert after.place == Place(0, 1)


@pytest.mark.parametrize("stage", ["waiting", "running", "published"])
def test_an_older_message_never_overwrites(catalogue: Catalogue, stage: str) -> None:
    assert catalogue.take(take_product(0, updated_at=2_000)) == []
    orders = catalogue.orders(10) if stage != "waiting" else []
    if stage == "published":
        catalogue.complete(through_the_models(orders[0]))
    assert catalogue.take(take_product(1, name="Older", updated_at=1_999)) == [
        Acknowledge(Place(0, 1), "older")
    ]


def test_of_two_that_wait_the_newer_one_remains(catalogue: Catalogue) -> None:
    catalogue.take(take_product(0))
    assert catalogue.take(take_product(1, name="Newer", updated_at=1_001)) == [
        Acknowledge(Place(0, 0), "older")
    ]
    [order] = catalogue.orders(10)
    assert order.product.name == "Newer"


def test_a_sold_out_product_is_never_shown_in_stock_when_its_vectors_arrive(catalogue: Catalogue) -> None:
    catalogue.take(take_product(0))
    [order] = catalogue.orders(10)
    assert catalogue.take(take_product(1, availability="out_of_stock", updated_at=2_000)) == []
    assert catalogue.orders(10) == []  # one at a time
    effects = catalogue.complete(through_the_models(order))
    assert effects[0] == Acknowledge(Place(0, 0), "older")
    only = find_published(effects)
    assert only.vectors is not None
    assert only.vectors.product.availability == "out_of_stock"
    assert only.place == Place(0, 1)
    assert set(only.vectors.hashes) == {name for name, _ in LAYOUT.widths}


def test_a_text_that_changes_under_the_model_is_made_once_more(catalogue: Catalogue) -> None:
    make(catalogue, take_product(0))
    catalogue.take(take_product(1, description="Lined.", image_url="q.png", updated_at=2_000))
    [order] = catalogue.orders(10)
    catalogue.take(take_product(2, description="Lined twice.", image_url="q.png", updated_at=3_000))
    interim = find_published(catalogue.complete(through_the_models(order, component=2)))
    assert interim.outcome == "interim"
    assert segment(interim, "image") == [0, 0, 1, 0]  # what is right for the newest is used
    assert segment(interim, "text") == [0, 1, 0, 0, 0, 0]
    [again] = catalogue.orders(10)
    assert again.needs == {"text"}


def test_a_change_taken_back_is_not_waited_for(catalogue: Catalogue) -> None:
    make(catalogue, take_product(0))
    catalogue.take(take_product(1, description="Lined.", updated_at=2_000))
    [order] = catalogue.orders(10)
    effects = catalogue.take(take_product(2, updated_at=3_000))
    assert find_published(effects).outcome == "published"
    assert Acknowledge(Place(0, 1), "older") in effects
    assert catalogue.complete(through_the_models(order)) == []


def test_a_tombstone_removes_what_is_known_waits_and_runs(catalogue: Catalogue) -> None:
    make(catalogue, take_product(0))
    catalogue.take(take_product(1, name="Waits", updated_at=2_000))
    [order] = catalogue.orders(10)
    catalogue.take(take_product(2, name="Waits, too", updated_at=3_000))
    effects = catalogue.remove("p", Place(0, 3))
    assert find_published(effects).raw is None
    settled = [effect.place.offset for effect in effects if isinstance(effect, Acknowledge)]
    assert sorted(settled) == [1, 2, 3]
    assert catalogue.complete(through_the_models(order)) == []
    assert (len(catalogue), catalogue.waiting) == (0, 0)


def test_a_refused_picture_leaves_a_product_without_it_and_a_dead_letter(catalogue: Catalogue) -> None:
    effects = make(catalogue, take_product(0), picture=False)
    [letter] = [effect for effect in effects if isinstance(effect, SendToDlq)]
    assert (letter.key, letter.reason, letter.stage, letter.place) == (
        b"p", "no picture", "picture", Place(0, 0),
    )  # fmt: skip
    without = find_published(effects)
    assert without.outcome == "published"
    assert segment(without, "image") == [0, 0, 0, 0]
    assert without.vectors is not None
    assert "image" not in without.vectors.hashes


def test_a_refused_picture_is_tried_again_when_the_product_comes_but_not_at_once(
    catalogue: Catalogue, clock: Clock
) -> None:
    make(catalogue, take_product(0), picture=False)
    assert find_published(catalogue.take(take_product(1, price=1.0, updated_at=2_000))).outcome == "published"
    clock.now = 61
    assert find_published(catalogue.take(take_product(2, price=2.0, updated_at=3_000))).outcome == "interim"
    [order] = catalogue.orders(10)
    assert order.needs == {"image"}
    after = find_published(catalogue.complete(through_the_models(order)))
    assert segment(after, "image") == [0, 1, 0, 0]


def test_a_dead_letter_that_was_put_back_has_its_picture_tried_at_once_and_counts(
    catalogue: Catalogue,
) -> None:
    make(catalogue, take_product(0), picture=False)
    [letter] = [
        effect for effect in make(catalogue, _again(1, 2), picture=False) if isinstance(effect, SendToDlq)
    ]
    assert letter.attempts == 2
    assert any(segment(find_published(make(catalogue, _again(2, 3))), "image"))


def retrying(clock: Clock, retries: int = 2) -> Catalogue:
    return Catalogue(RECIPE, picture_retry_s=60, timer=clock, picture_retries=retries)


def tries(effect: Publish) -> int:
    assert effect.vectors is not None
    return effect.vectors.picture_tries


def letters(effects: list[Effect]) -> list[str]:
    return [effect.reason for effect in effects if isinstance(effect, SendToDlq)]


def test_a_picture_whose_host_was_away_is_tried_again_by_itself_as_often_as_is_said(clock: Clock) -> None:
    catalogue = retrying(clock)
    first = make(catalogue, take_product(0), refusal=HostAway("too slow"))
    assert letters(first) == ["too slow; it is tried again by itself"]
    assert (find_published(first).outcome, tries(find_published(first))) == ("published", 1)
    clock.now = 59
    catalogue.retry_pictures()
    assert catalogue.orders(10) == []
    clock.now = 60
    catalogue.retry_pictures()
    [order] = catalogue.orders(10)
    assert (set(order.needs), order.tries) == ({"image"}, 1)
    second = catalogue.complete(through_the_models(order, refusal=HostAway("still too slow")))
    assert letters(second) == []
    assert (find_published(second).place, tries(find_published(second))) == (None, 2)
    clock.now = 60 + 119
    catalogue.retry_pictures()
    assert catalogue.orders(10) == []
    clock.now = 60 + 120
    catalogue.retry_pictures()
    [order] = catalogue.orders(10)
    last = catalogue.complete(through_the_models(order, refusal=HostAway("never")))
    assert letters(last) == ["never"]
    assert tries(find_published(last)) == 0
    assert catalogue.pictures_to_retry == 0
    clock.now = 1e9
    catalogue.retry_pictures()
    assert catalogue.waiting == 0


def test_a_picture_that_is_there_at_last_is_published(clock: Clock) -> None:
    catalogue = retrying(clock)
    make(catalogue, take_product(0), refusal=HostAway("too slow"))
    clock.now = 60
    catalogue.retry_pictures()
    [order] = catalogue.orders(10)
    after = find_published(catalogue.complete(through_the_models(order)))
    assert any(segment(after, "image"))
    assert (tries(after), catalogue.pictures_to_retry) == (0, 0)


def test_a_picture_is_tried_again_after_a_restart(clock: Clock) -> None:
    before = find_published(make(retrying(clock), take_product(0), refusal=HostAway("too slow")))
    restarted = retrying(clock)
    restarted.know("p", before.raw)
    assert restarted.make_anew(["p"]) == 0
    clock.now = 60
    restarted.retry_pictures()
    [order] = restarted.orders(10)
    assert order.tries == 1


@pytest.mark.parametrize("change", ["removed", "another picture", "no picture", "refused for good"])
def test_what_is_of_no_use_any_more_is_not_tried_again(clock: Clock, change: str) -> None:
    catalogue = retrying(clock)
    make(catalogue, take_product(0), refusal=HostAway("too slow"))
    if change == "removed":
        catalogue.remove("p", Place(0, 1))
    elif change == "refused for good":
        clock.now = 60
        catalogue.retry_pictures()
        [order] = catalogue.orders(10)
        assert letters(catalogue.complete(through_the_models(order, picture=False))) == ["no picture"]
    else:
        address = "q.png" if change == "another picture" else None
        make(catalogue, take_product(1, image_url=address, updated_at=2_000))
    clock.now = 1_000
    catalogue.retry_pictures()
    assert catalogue.orders(10) == []
    assert catalogue.pictures_to_retry == 0


def test_a_product_that_is_under_way_has_its_picture_tried_afterwards(clock: Clock) -> None:
    catalogue = retrying(clock)
    make(catalogue, take_product(0), refusal=HostAway("too slow"))
    clock.now = 59
    catalogue.take(take_product(1, name="Blue boot", updated_at=2_000))
    [order] = catalogue.orders(10)
    clock.now = 60
    catalogue.retry_pictures()
    assert tries(find_published(catalogue.complete(through_the_models(order)))) == 1
    clock.now = 61
    catalogue.retry_pictures()
    [order] = catalogue.orders(10)
    assert (set(order.needs), order.product.name) == ({"image"}, "Blue boot")


def _again(offset: int, attempts: int) -> IncomingProduct:
    return replace(take_product(offset), attempts=attempts)


def test_another_picture_is_tried_at_once_and_the_former_is_not_kept(catalogue: Catalogue) -> None:
    make(catalogue, take_product(0))
    effects = make(catalogue, take_product(1, image_url="q.png", updated_at=2_000), picture=False)
    last = [effect for effect in effects if isinstance(effect, Publish)][-1]
    assert segment(last, "image") == [0, 0, 0, 0]


def test_a_picture_taken_away_is_gone_at_once(catalogue: Catalogue) -> None:
    make(catalogue, take_product(0))
    after = find_published(catalogue.take(take_product(1, image_url=None, updated_at=2_000)))
    assert after.outcome == "published"
    assert segment(after, "image") == [0, 0, 0, 0]


def test_what_was_published_is_known_after_a_restart(catalogue: Catalogue, clock: Clock) -> None:
    raw = find_published(make(catalogue, take_product(0))).raw
    restarted = Catalogue(RECIPE, picture_retry_s=60, timer=clock)
    restarted.know("p", raw)
    assert restarted.take(take_product(0)) == [Acknowledge(Place(0, 0), "unchanged")]
    assert restarted.make_anew(["p", "unknown"]) == 0
    restarted.know("p", None)
    assert len(restarted) == 0


def test_another_model_makes_anew_what_the_former_made(catalogue: Catalogue, clock: Clock) -> None:
    raw = find_published(make(catalogue, take_product(0))).raw
    updated = Catalogue(Recipe(LAYOUT, MODELS | {"text": "t2"}), picture_retry_s=60, timer=clock)
    updated.know("p", raw)
    assert updated.make_anew(["p"]) == 1
    [order] = updated.orders(10)
    assert order.needs == {"text"}
    [effect] = updated.complete(through_the_models(order))
    assert isinstance(effect, Publish)
    assert effect.place is None
    assert effect.vectors is not None
    assert effect.vectors.models["text"] == "t2"


def test_a_missing_picture_is_not_made_anew_at_every_start(catalogue: Catalogue, clock: Clock) -> None:
    raw = find_published(make(catalogue, take_product(0), picture=False)).raw
    restarted = Catalogue(RECIPE, picture_retry_s=60, timer=clock)
    restarted.know("p", raw)
    assert restarted.make_anew(["p"]) == 0


def test_vectors_of_another_layout_stop_the_start(catalogue: Catalogue, clock: Clock) -> None:
    raw = find_published(make(catalogue, take_product(0))).raw
    other = Catalogue(Recipe(Layout.of(7, 4), MODELS), picture_retry_s=60, timer=clock)
    with pytest.raises(LayoutMismatch, match="EDDY_TEXT_WIDTH"):
        other.know("p", raw)


def test_orders_are_given_out_longest_waiting_first(catalogue: Catalogue) -> None:
    for offset, product_id in enumerate("cab"):
        catalogue.take(take_product(offset, product_id=product_id))
    assert [order.product.product_id for order in catalogue.orders(2)] == ["c", "a"]
    assert catalogue.waiting == 3
