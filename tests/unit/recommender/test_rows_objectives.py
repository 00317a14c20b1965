"""What the order of a row is for: the request's word, the experiment's, the rule's, the setting's."""

from schemas.objectives import CLICK, Objective
from services.model.candidates import KNN_RANK
from services.model.forest import ObjectiveTrees
from services.recommender.pipeline.experiments import Assignment
from services.recommender.pipeline.request import RecommendationResult
from tests.support.models import behaviour, tree_leaning_to
from tests.support.pipeline import PAST, PipelineShop, ids

BUY: Objective = {"buy": 1.0}
NEAR, FAR = (tree_leaning_to(KNN_RANK, 1.5), tree_leaning_to(KNN_RANK, 4.5))


async def ask(shop: PipelineShop, objective: Objective | None = None) -> RecommendationResult:
    session = shop.session("p0", "p1")
    return await shop.ask("for_you", 6, session=session, visitor_id="a", objective=objective, diversity=0.0)


def learn(shop: PipelineShop) -> None:
    shop.model = behaviour(PAST, trees=NEAR, objectives=ObjectiveTrees(FAR, frozenset({"buy"})))


async def test_objectives_have_orders_of_their_own_and_clicks_are_the_default(shop: PipelineShop) -> None:
    learn(shop)
    clicks, buys = await ask(shop), await ask(shop, BUY)
    assert ids(clicks) != ids(buys)
    assert clicks.row == (await ask(shop, CLICK)).row
    assert {clicks.notice, buys.notice} == {None}
    shop.model = behaviour(PAST, trees=NEAR)
    assert ids(await ask(shop)) == ids(clicks)


async def test_the_request_beats_the_experiment_and_that_the_rule(shop: PipelineShop) -> None:
    learn(shop)
    clicks, buys = ids(await ask(shop)), ids(await ask(shop, BUY))
    shop.rule("buy", "objective", objective="buy")
    assert ids(await ask(shop)) == buys
    shop.treatments["a"] = Assignment({"x": "b"}, objective=CLICK)
    assert ids(await ask(shop)) == clicks
    assert ids(await ask(shop, BUY)) == buys


async def test_of_several_rules_the_one_about_this_slot_counts_then_the_newest(shop: PipelineShop) -> None:
    learn(shop)
    shop.now = 10
    clicks, buys = ids(await ask(shop)), ids(await ask(shop, BUY))
    shop.rule("a", "objective", objective="click")
    shop.rule("b", "objective", objective="buy", starts_at=1)
    assert ids(await ask(shop)) == buys
    shop.rule("c", "objective", objective="click", slots=("for_you",))
    assert ids(await ask(shop)) == clicks
    shop.rule("d", "objective", objective="buy", slots=("elsewhere",), starts_at=2)
    assert ids(await ask(shop)) == clicks


async def test_what_the_model_has_not_learned_is_ordered_as_for_clicks_and_said(shop: PipelineShop) -> None:
    learn(shop)
    clicks, carts = await ask(shop), await ask(shop, {"cart": 1.0})
    assert carts.row == clicks.row
    assert carts.notice == "not learned apart yet, ordered as for clicks: cart"
    shop.model = None
    assert (await ask(shop, BUY)).notice == "not learned apart yet, ordered as for clicks: buy"
