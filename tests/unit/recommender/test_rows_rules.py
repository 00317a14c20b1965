"""The shop's rules in rows of every kind: what is pinned, blocked, moved up and down, where and when."""

from typing import Any

import pytest

from schemas.live import COMPLEMENTS, SlotKind
from services.recommender.index.port import AVAILABLE, Where
from services.recommender.pipeline.request import RecommendationResult
from services.recommender.search.query import Inferred
from tests.support.models import behaviour
from tests.support.pipeline import COUNT, SHOWN, TOGETHER, PipelineShop, ids, product, sources

KINDS: list[SlotKind] = [
    "for_you", "similar", "also_liked", "complement_topic", "complement_type", "popular", "search",
]  # fmt: skip


async def ask(
    shop: PipelineShop, kind: SlotKind, k: int = 6, where: Where = SHOWN, **fields: Any
) -> RecommendationResult:
    """A row of a kind that all of the shop's products may be in, but shoes in what goes with one."""
    if kind == "search":
        return await shop.search(Inferred(description="x"), k, like="p0", where=where, **fields)
    if kind == "for_you":
        fields |= {"session": shop.session("p0"), "without_seen": True}
    elif kind != "popular":
        fields |= {"product_id": "p0"}
    if kind in COMPLEMENTS:
        shop.model = behaviour(TOGETHER)
    return await shop.ask(kind, k, where, **fields)


def places(made: RecommendationResult) -> dict[str, int]:
    return {product_id: place for place, product_id in enumerate(ids(made), start=1)}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_pin_takes_its_place_and_says_who_put_it_there(
    model_shop: PipelineShop, kind: SlotKind
) -> None:
    before = ids(await ask(model_shop, kind))
    model_shop.rule("r", "pin", products=("p29", before[4]), position=2)
    made = await ask(model_shop, kind)
    others = [each for each in before if each not in ("p29", before[4])]
    assert ids(made) == [others[0], "p29", before[4], *others[1:4]]
    for pinned in made.row[1:3]:
        assert (pinned.source, pinned.why, pinned.rules) == ("rule", "picked by the shop", ("r",))
    assert all(not item.rules for item in (made.row[0], *made.row[3:]))


@pytest.mark.parametrize("kind", KINDS)
async def test_what_a_block_names_is_in_no_row(model_shop: PipelineShop, kind: SlotKind) -> None:
    model_shop.rule("a", "block", products=("p1",))
    model_shop.rule("b", "block", brands=("Brand 2",), categories=("Tents",))
    model_shop.rule("c", "block", tags=("red",))
    allowed = {
        each.product_id
        for each in map(product, range(1, COUNT))
        if each.product_id != "p1"
        and each.brand != "Brand 2"
        and each.category != ("Tents",)
        and not each.tags
        and (kind not in COMPLEMENTS or each.category != ("Shoes",))
    }
    made = await ask(model_shop, kind, k=COUNT)
    assert set(ids(made)) == allowed
    why = "go with it" if kind in COMPLEMENTS else "fit the filters"
    assert made.notice == f"only {len(allowed)} products {why}"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_block_and_every_filter_beat_a_pin(model_shop: PipelineShop, kind: SlotKind) -> None:
    model_shop.put(26, availability="out_of_stock", updated_at=1)
    model_shop.rule("pins", "pin", products=("p29", "p28", "p27", "p26", "p25", "nobody", "p0"))
    model_shop.rule("blocked", "block", brands=("Brand 4",))  # p29
    where = Where(availability=AVAILABLE, price_max=28.0, exclude=frozenset({"p25", "p0"}))  # p28 costs 29
    made = await ask(model_shop, kind, where=where)
    assert [item.product_id for item in made.row if item.source == "rule"] == ["p27"]
    assert not {"p29", "p28", "p26", "p25", "p0"} & set(ids(made))


@pytest.mark.parametrize("kind", KINDS)
async def test_boosts_move_up_buries_move_down_and_both_are_named(
    model_shop: PipelineShop, kind: SlotKind
) -> None:
    before = places(await ask(model_shop, kind, k=12, diversity=0.0))
    [*_, up] = before
    down = next(iter(before))
    model_shop.rule("up", "boost", products=(up,), factor=100.0)
    model_shop.rule("down", "bury", products=(down,), factor=100.0)
    made = await ask(model_shop, kind, k=12, diversity=0.0)
    after = places(made)
    assert after[up] < before[up]
    assert after.get(down, 99) > before[down]
    named = {item.product_id: item.rules for item in made.row if item.rules}
    assert named.pop(up) == ("up",)
    assert named.pop(down, ("down",)) == ("down",)
    assert named == {}


@pytest.mark.parametrize("kind", KINDS)
async def test_rules_that_name_nothing_here_change_nothing(model_shop: PipelineShop, kind: SlotKind) -> None:
    before = await ask(model_shop, kind)
    model_shop.rule("up", "boost", brands=("nobody's",), factor=10.0)
    model_shop.rule("out", "block", brands=("nobody's",))
    model_shop.rule("pin", "pin", products=("nobody's",))
    assert (await ask(model_shop, kind)).row == before.row


async def test_a_boost_far_away_does_not_make_what_is_popular_less_mixed(shop: PipelineShop) -> None:
    for number in range(12):  # the most popular are all of one shelf
        shop.put(number, category=("Shoes",), updated_at=1)
    before = await shop.ask("popular", 6)
    shop.rule("up", "boost", brands=("nobody's",), factor=10.0)
    assert (await shop.ask("popular", 6)).row == before.row
    assert [item.category[0] for item in before.row].count("Shoes") == 2


async def test_what_fills_up_a_short_row_obeys_the_rules_of_its_slot(shop: PipelineShop) -> None:
    shop.rule("out", "block", products=("p0",), slots=("also_liked",))
    shop.rule("up", "boost", products=("p29",), factor=100.0, slots=("also_liked",))
    made = await shop.ask("also_liked", 6, product_id="p5")
    assert made.fallback == "no_behaviour"
    assert "p0" not in ids(made)
    assert "p1" in ids(made)
    assert "p0" in ids(await shop.ask("popular", 6))


async def test_a_rule_of_a_slot_holds_there_only(shop: PipelineShop) -> None:
    shop.rule("named", "pin", products=("p29",), slots=("checkout",))
    shop.rule("kind", "pin", products=("p28",), slots=("similar",))
    assert "p29" in ids(await shop.ask("popular", slot="checkout"))
    for slot in ("", "home"):
        assert not {"p28", "p29"} & set(ids(await shop.ask("popular", slot=slot)))
    [first, second] = ids(await shop.ask("similar", 2, product_id="p0", slot="checkout"))
    assert {first, second} == {"p28", "p29"}


async def test_a_rule_holds_in_its_time_only(shop: PipelineShop) -> None:
    shop.rule("sale", "pin", products=("p29",), starts_at=100, ends_at=200)
    shop.rule("recall", "block", products=("p0",), starts_at=150)
    for now, is_pinned, is_blocked in (
        (99, False, False),
        (100, True, False),
        (150, True, True),
        (200, False, True),
    ):
        shop.now = now
        row = ids(await shop.ask("popular", 3))
        assert ("p29" in row, "p0" not in row) == (is_pinned, is_blocked), now


async def test_pins_alone_make_a_row_where_nothing_else_is_found(shop: PipelineShop) -> None:
    shop.rule("pin", "pin", products=("p4",), position=3)
    where = Where(category=frozenset({"Lamps"}), price_max=5.0)
    made = await shop.search(Inferred(description="x", tags=("blue",)), k=3, like="p0", where=where)
    assert set(ids(made)) == {"p1", "p4"}
    assert sources(made) == {"p1": "relaxed", "p4": "rule"}
    assert made.notice == "only 2 products fit the filters"


async def test_a_pin_keeps_the_score_of_what_is_in_the_row_anyway(shop: PipelineShop) -> None:
    before = {item.product_id: item.score for item in (await shop.ask("popular", 3)).row}
    shop.rule("pin", "pin", products=("p2", "p29"))
    after = {item.product_id: item.score for item in (await shop.ask("popular", 3)).row}
    assert (after["p2"], after["p29"]) == (before["p2"], 0.0)
