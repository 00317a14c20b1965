"""A visitor's row with a model: what may be in it, where it comes from, what it says; and without one."""

from itertools import cycle
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from services.model.candidates import CONTENT
from services.recommender.index.port import AVAILABLE, Where
from tests.support.examples import examples
from tests.support.models import VERSION, behaviour, tree_leaning_to
from tests.support.pipeline import COUNT, PAST, SHELVES, PipelineShop, ids, sources


async def test_without_a_model_rows_are_of_content_and_name_none(shop: PipelineShop) -> None:
    made = await shop.row("p0", "p1")
    assert made.model is None
    assert set(sources(made).values()) == {"content"}
    assert {item.category[0] for item in made.row} == {"Shoes", "Lamps"}


async def test_what_others_looked_at_is_in_the_row_and_says_so(model_shop: PipelineShop) -> None:
    made = await model_shop.row("p0")
    assert made.model == VERSION
    reasons = {item.product_id: item.why for item in made.row if item.source == "behaviour"}
    assert {"p1", "p2", "p4"} <= reasons.keys()
    assert reasons["p1"] == "because you looked at Product 0"


async def test_what_only_content_found_says_so(model_shop: PipelineShop) -> None:
    made = await model_shop.row("p0", k=COUNT)
    [like] = [item for item in made.row if item.product_id == "p3"]  # in no past session
    assert (like.source, like.why) == ("content", "because you looked at Product 0")


async def test_the_event_is_named_that_stood_beside_it_in_most_visits(model_shop: PipelineShop) -> None:
    # p9 is in no past visit, and p0 is the newer of two that stood beside the others equally often.
    made = await model_shop.row("p1", "p0", "p9")
    reasons = {item.product_id: item.reason for item in made.row if item.source == "behaviour"}
    for product_id in ("p2", "p4"):
        reason = reasons[product_id]
        assert reason is not None
        assert (reason.kind, reason.product_id, reason.visits) == ("co_visited", "p0", 5)
        assert reason.cause is not None
        assert (reason.cause.type, reason.cause.product_id) == ("view_item", "p0")
    # Of the two only p1 was ever looked at beside p7.
    model_shop.model = behaviour([*PAST, *[["p1", "p7"]] * 2])
    made = await model_shop.row("p1", "p0")
    [seen] = [item.reason for item in made.row if item.product_id == "p7"]
    assert seen is not None
    assert (seen.product_id, seen.visits) == ("p1", 2)


async def test_the_deed_is_the_event_s(model_shop: PipelineShop) -> None:
    session = model_shop.session("p0", type_="purchase")
    made = await model_shop.for_you(session, 6)
    assert {item.why for item in made.row if item.cause is not None} == {"because you bought Product 0"}
    assert made.causes["p0"].name == "Product 0"


async def test_what_was_seen_never_comes_back(model_shop: PipelineShop) -> None:
    for seen in (("p0",), ("p0", "p1"), ("p0", "p1", "p2", "p4"), ("p20", "p21", "p20")):
        assert not set(seen) & set(ids(await model_shop.row(*seen, k=COUNT)))


async def test_what_sells_out_is_gone_at_once_and_comes_back_with_stock(model_shop: PipelineShop) -> None:
    assert "p1" in ids(await model_shop.row("p0"))
    model_shop.put(1, availability="out_of_stock", updated_at=1)
    assert "p1" not in ids(await model_shop.row("p0", k=COUNT))
    model_shop.put(1, updated_at=2)
    assert "p1" in ids(await model_shop.row("p0"))
    model_shop.catalogue.remove("p1")
    assert "p1" not in ids(await model_shop.row("p0", k=COUNT))


async def test_what_has_no_vector_is_not_shown_because_of_others(model_shop: PipelineShop) -> None:
    model_shop.replica.remove("p1")
    assert sources(await model_shop.row("p0", k=COUNT))["p1"] == "popular"


@examples(60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=6),
    st.sets(st.integers(0, COUNT - 1)),
    st.builds(
        Where,
        availability=st.just(AVAILABLE),
        category=st.frozensets(st.sampled_from(SHELVES), max_size=2),
        price_max=st.sampled_from([None, 10.0, 20.0]),
        exclude=st.frozensets(st.integers(0, COUNT - 1).map("p{}".format), max_size=5),
    ),
)
async def test_filters_never_leak(
    model_shop: PipelineShop,
    seen: list[int],
    sold_out: set[int],
    where: Where,
) -> None:
    for number in range(COUNT):
        known = model_shop.catalogue.get(f"p{number}")
        assert known is not None
        model_shop.put(
            number,
            availability="out_of_stock" if number in sold_out else "in_stock",
            updated_at=known.updated_at + 1,
        )
    made = await model_shop.row(*[f"p{each}" for each in seen], k=12, where=where)
    gone = {f"p{each}" for each in (*seen, *sold_out)} | where.exclude
    assert not gone & set(ids(made))
    assert len(ids(made)) == len(set(ids(made)))
    assert all(not where.category or item.category[0] in where.category for item in made.row)
    assert all(where.price_max is None or item.price <= where.price_max for item in made.row)


async def test_interests_take_turns_with_what_lies_outside_of_them(model_shop: PipelineShop) -> None:
    # Two interests, and a model to whose mind all that others looked at is tents.
    model_shop.model = behaviour([["p0", "p1", "p2", "p5", "p8"]] * 3)
    made = await model_shop.row("p0", "p1", k=9)
    shelves = [item.category[0] for item in made.row]
    assert set(shelves) == set(SHELVES)
    assert "Tents" in shelves[:4]


async def test_a_session_that_the_model_knows_nothing_of_has_the_row_of_content(
    model_shop: PipelineShop,
) -> None:
    made = await model_shop.row("p9", "p10")
    assert made.model == VERSION
    model_shop.model = None
    assert made.row == (await model_shop.row("p9", "p10")).row


async def test_a_session_without_vectors_has_the_row_of_behaviour(model_shop: PipelineShop) -> None:
    model_shop.replica.remove("p0")
    session = model_shop.session("p0")
    assert not session.vector
    made = await model_shop.for_you(session, 5)
    assert set(sources(made).values()) == {"behaviour"}
    reasons = {item.product_id: item.why for item in made.row}
    assert reasons.keys() == {"p1", "p2", "p4", "p20", "p21"}
    assert reasons["p4"] == "because you looked at Product 0"
    # Nobody had both: item2vec.
    assert reasons["p20"] == "others who looked at similar things also looked at this"


async def test_nobody_s_session_shows_what_is_popular(model_shop: PipelineShop) -> None:
    made = await model_shop.for_you(None, 3)
    assert (ids(made), made.model) == (["p0", "p1", "p2"], VERSION)
    assert set(sources(made).values()) == {"popular"}


async def test_the_re_ranker_hears_how_like_the_session_a_product_is(model_shop: PipelineShop) -> None:
    model_shop.model = behaviour(PAST, trees=tree_leaning_to(CONTENT, threshold=1.2))
    made = await model_shop.row("p0", k=12)
    likely = [item.score for item in made.row if item.category == ("Shoes",)]
    others = [item.score for item in made.row if item.category != ("Shoes",)]
    assert min(likely) > 5 * max(others)


async def test_a_row_is_of_one_generation_whatever_is_swapped_meanwhile(shop: PipelineShop) -> None:
    one, other = behaviour(PAST, "20241124T041507Z-aaaa"), behaviour([["p0", "p7"]], "20241124T041507Z-bbbb")
    rows = {}
    for model in (one, other):
        shop.model = model
        rows[model.version] = (await shop.row("p0")).row
    shop.swaps = cycle([one, other])
    for _ in range(20):
        made = await shop.row("p0")
        assert made.model is not None
        assert made.row == rows[made.model]


async def test_while_the_index_is_away_the_row_says_so(model_shop: PipelineShop) -> None:
    model_shop.index.away = True
    made = await model_shop.row("p0", k=6)
    assert made.fallback == "index_away"
    assert set(sources(made).values()) == {"behaviour", "popular"}  # the model is in this process
    model_shop.model = None
    made = await model_shop.row("p0", k=6)
    assert (made.fallback, set(sources(made).values())) == ("index_away", {"popular"})
    model_shop.index.away = False
    assert (await model_shop.row("p0", k=6)).fallback is None


async def test_a_row_that_is_not_what_was_asked_for_says_why(shop: PipelineShop) -> None:
    assert (await shop.for_you(None, 3)).fallback == "new_visitor"
    shop.replica.remove("p0")
    assert (await shop.row("p0", k=3)).fallback == "no_vectors"


async def test_parts_are_of_the_interest_that_found_the_product_and_add_up_to_the_score(
    shop: PipelineShop,
) -> None:
    session = shop.session("p0", "p1", "p4")
    for kept in (shop.put, shop.describe):
        kept(3)
    made = await shop.ask("for_you", 12, session=session, without_seen=True, explains=True)
    assert len(session.interests) == 2
    for item in made.row:
        assert item.parts is not None
        assert sum(item.parts.values()) == pytest.approx(item.score, abs=2e-3)


async def test_named_weights_order_the_row_by_their_sum_instead_of_what_was_learned(
    model_shop: PipelineShop,
) -> None:
    session = model_shop.session("p0")
    weights = {"brand": 9.0, "behaviour": 0.1}
    branded = await model_shop.ask("for_you", 2, session=session, weights=weights, diversity=0.0)
    assert ids(branded) == ["p0", "p15"]  # of the interest's shelf those of the brand
    behaves = await model_shop.ask(
        "for_you", 3, session=session, without_seen=True, weights={"behaviour": 9.0}
    )
    assert set(ids(behaves)) == {"p1", "p2", "p4"}


async def test_no_brand_gets_more_than_its_share_of_a_row_that_is_filled_up(tmp_path: Path) -> None:
    shop = PipelineShop(tmp_path / "index", brand_max=2)
    made = await shop.ask("for_you", 10, session=shop.session("p0"), weights={"brand": 9.0})
    brands = [item.brand for item in made.row]
    assert len(brands) == 10
    assert max(map(brands.count, brands)) == 2
    shop.index.close()
