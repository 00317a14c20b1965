"""No reason says of visits what does not hold in them, whatever visits, sessions and rows there are."""

from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from schemas.events import EventType
from schemas.live import Reason, SlotKind
from services.recommender.pipeline.request import RecommendationResult
from tests.support.examples import examples
from tests.support.models import behaviour
from tests.support.pipeline import COUNT, PipelineShop, ids

ABOUT: list[SlotKind] = ["similar", "also_liked", "complement_topic", "complement_type"]
PRODUCTS = st.integers(0, 11).map("p{}".format)
VISITS = st.lists(st.lists(PRODUCTS, min_size=2, max_size=5), min_size=1, max_size=12)


def reasons_of(made: RecommendationResult) -> dict[str, Reason]:
    found = {}
    for item in made.row:
        assert item.reason is not None
        assert item.cause == item.reason.cause
        found[item.product_id] = item.reason
    return found


def count_visits(past: Sequence[Sequence[str]], one: str, other: str | None) -> int:
    return sum({one, other} <= set(visit) for visit in past)


@examples(80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(VISITS, st.lists(PRODUCTS, min_size=1, max_size=5), st.sampled_from(["for_you", *ABOUT]))
async def test_visits_that_a_reason_tells_are_those_of_the_model(
    shop: PipelineShop, past: list[list[str]], seen: list[str], kind: SlotKind
) -> None:
    shop.model = behaviour(past)
    session = shop.session(*seen)
    if kind == "for_you":
        made = await shop.for_you(session, 12)
    else:
        made = await shop.ask(kind, 12, session=session, product_id=seen[0])
    for product_id, reason in reasons_of(made).items():
        together = count_visits(past, product_id, reason.product_id)
        if reason.kind in {"co_visited", "complement"}:
            assert reason.visits == together > 0
        else:
            assert reason.visits == 0
        if reason.kind == "alike":
            assert not together
        assert 0 <= reason.strength <= 1
        if kind == "for_you" and reason.kind != "popular":
            assert reason.cause is not None
            assert reason.product_id == reason.cause.product_id in seen
        if reason.product_id is not None:
            assert made.causes[reason.product_id].name == f"Product {reason.product_id[1:]}"
    assert made.causes.keys() == {each.product_id for each in reasons_of(made).values()} - {None}


async def test_of_what_is_near_by_content_the_nearest_event_is_told_not_the_heaviest(
    shop: PipelineShop,
) -> None:
    # All of one shelf: p6 is of p0's and of p12's type, p9 of p3's; p3 is the newest.
    made = await shop.row("p0", "p12", "p3", k=8)
    causes = {item.product_id: item.reason.product_id for item in made.row if item.reason is not None}
    assert causes["p9"] == "p3"
    assert causes["p6"] in {"p0", "p12"}


@pytest.mark.parametrize("type_", ["remove_from_cart", "dismiss_item"])
async def test_what_was_taken_back_is_nobody_s_reason(model_shop: PipelineShop, type_: EventType) -> None:
    session = model_shop.session("p0", type_=type_)
    made = await model_shop.for_you(session, 6)
    assert "p0" not in {each.product_id for each in reasons_of(made).values()}


async def test_what_only_another_visitor_of_the_person_did_is_told_in_no_field(
    model_shop: PipelineShop,
) -> None:
    session = model_shop.session("p0", "p3")
    own = frozenset({("view_item", "p3", 1_000)})  # the session has p0 as well
    made = await model_shop.ask("for_you", 12, session=session, own=own, without_seen=True)
    reasons = reasons_of(made)
    assert {each.product_id for each in reasons.values()} <= {"p3", None}
    assert made.causes.keys() <= {"p3"}
    hidden = [item for item in made.row if item.product_id in {"p1", "p2", "p4"}]
    assert len(hidden) == 3
    for item in hidden:
        assert item.reason == Reason(kind="co_visited", strength=item.reason.strength if item.reason else -1)
        assert item.why == "picked for you"


async def test_a_reason_is_of_the_kind_of_what_put_the_product_there(model_shop: PipelineShop) -> None:
    model_shop.rule("r", "pin", products=("p29",))
    made = await model_shop.row("p0", k=COUNT)
    kinds = {item.product_id: item.reason.kind for item in made.row if item.reason is not None}
    assert (kinds["p29"], kinds["p1"], kinds["p3"]) == ("pinned", "co_visited", "content")
    assert {item.reason.kind for item in (await model_shop.for_you(None, 2)).row if item.reason} == {
        "pinned",
        "popular",
    }
    named = await model_shop.ask("products", 1, product_ids=("p5",))
    assert reasons_of(named)["p5"].kind == "named"
    found = await model_shop.search(like="p1", k=2)
    assert {each.kind for each in reasons_of(found).values()} <= {"search", "pinned"}


async def test_what_the_visitor_wants_no_more_of_is_in_no_row(model_shop: PipelineShop) -> None:
    session = model_shop.session("p1", type_="dismiss_item")
    for kind in ("for_you", "similar", "also_liked", "popular"):
        about = "p0" if kind in ABOUT else None
        made = await model_shop.ask(kind, COUNT, session=session, product_id=about)
        assert "p1" not in ids(made), kind
    assert ids(await model_shop.ask("products", 1, session=session, product_ids=("p1",))) == ["p1"]
    assert "p1" in ids(await model_shop.search(like="p1", k=COUNT, session=session))


async def test_a_funnel_is_told_only_where_it_is_asked_for(model_shop: PipelineShop) -> None:
    model_shop.rule("r", "block", products=("p2",))
    session = model_shop.session("p0")
    made = await model_shop.ask("for_you", 6, session=session, without_seen=True, debug=True)
    funnel = made.funnel
    assert funnel is not None
    assert list(funnel.left) == ["sources", "filters", "rules", "ranking", "diversity", "row"]
    assert funnel.left["sources"] > funnel.left["filters"] == funnel.left["rules"] + 1
    assert funnel.left["row"] == len(made.row) == 6
    assert funnel.sources.keys() == {"behaviour", "content"}
    assert funnel.ms.keys() == {"retrieval", "ranking", "reasons", "fill", "total"}
    assert (await model_shop.row("p0")).funnel is None
