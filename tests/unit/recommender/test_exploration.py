"""What chance does to a row, and whether its probabilities are what is recorded."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]

from services.recommender.pipeline.exploration import SHARE_MAX, SPARE, UNTOUCHED, arrange, seed
from tests.support.pipeline import PipelineShop, ids

SHARES = st.floats(0.001, SHARE_MAX)
FREE = st.lists(st.booleans(), max_size=40)


@given(is_free=FREE, k=st.integers(1, 30), share=SHARES, chance=st.binary(max_size=30))
def test_a_row_is_of_what_was_ranked_and_only_what_is_free_below_the_third_place_moves(
    is_free: list[bool], k: int, share: float, chance: bytes
) -> None:
    order, propensities = arrange(is_free, k, share, chance)
    assert len(order) == len(propensities) == min(k, len(is_free))
    assert len(set(order)) == len(order)
    assert set(order) <= set(range(len(is_free)))
    free = [slot for slot, is_one in enumerate(is_free) if is_one and slot >= UNTOUCHED]
    for place, (rank, propensity) in enumerate(zip(order, propensities, strict=True)):
        if place not in free or len(free) < 2:
            assert (rank, propensity) == (place, None)
        else:
            assert rank in free
            assert propensity == pytest.approx(1 - share if rank == place else share / (len(free) - 1))
    assert (order, propensities) == arrange(is_free, k, share, chance)


@settings(max_examples=4, deadline=None)
@given(
    ranked=st.integers(5, 16),
    held=st.sets(st.integers(3, 15), max_size=3),
    share=st.sampled_from([0.02, 0.1]),
)
def test_each_product_stands_at_each_place_as_often_as_its_propensity_says(
    ranked: int, held: set[int], share: float
) -> None:
    is_free = [slot not in held for slot in range(ranked)]
    count, seen, told = 12_000, Counter[tuple[int, int]](), dict[tuple[int, int], float]()
    for number in range(count):
        order, propensities = arrange(is_free, ranked, share, seed(f"v{number}", "row", b"event"))
        for place, (rank, propensity) in enumerate(zip(order, propensities, strict=True)):
            seen[place, rank] += 1
            told[place, rank] = 1.0 if propensity is None else propensity
    least = 1e-7  # of so many comparisons none is to be off by chance
    for pair, propensity in told.items():
        assert stats.binomtest(seen[pair], count, propensity).pvalue > least, (pair, seen[pair] / count)


async def test_chance_has_its_share_of_the_visitors_own_row_and_of_what_is_popular_and_of_no_other(
    tmp_path: Path,
) -> None:
    shop = PipelineShop(tmp_path)
    for kind, fields in (("for_you", {}), ("popular", {}), ("similar", {"product_id": "p3"})):
        asked = {"session": shop.session("p0", "p4"), "visitor_id": "v", "k": 8} | fields
        shop.explore(0.0)
        plain = await shop.ask(kind, **asked)  # type: ignore[arg-type]
        assert plain.propensities == {}
        shop.explore(SHARE_MAX)
        rows = [await shop.ask(kind, **asked | {"slot": f"row {number}"}) for number in range(60)]  # type: ignore[arg-type]
        if kind == "similar":
            assert {tuple(ids(row)) for row in rows} == {tuple(ids(plain))}
            continue
        assert {tuple(ids(row)[:UNTOUCHED]) for row in rows} == {tuple(ids(plain)[:UNTOUCHED])}
        changed = [row for row in rows if ids(row) != ids(plain)]
        assert 5 < len(changed) < 50
        for row in rows:
            assert [*row.propensities] == ids(row)[UNTOUCHED:]
            moved = [each for each in ids(row)[UNTOUCHED:] if row.propensities[each] < 0.5]
            stays = ids(plain)[UNTOUCHED:]
            assert all(row.propensities[each] < 0.5 for each in ids(row) if each not in ids(plain))
            assert len(moved) == sum(
                one != other for one, other in zip(ids(row)[UNTOUCHED:], stays, strict=True)
            )
        assert len({each for row in rows for each in ids(row)} - {*ids(plain)}) <= SPARE


async def test_a_row_is_the_same_until_its_visitor_does_something(tmp_path: Path) -> None:
    shop = PipelineShop(tmp_path)
    shop.explore(SHARE_MAX)
    session = shop.session("p0")
    same = [await shop.ask("for_you", session=session, visitor_id="v") for _ in range(3)]
    assert len({tuple(ids(row)) for row in same}) == 1


async def test_nothing_moves_that_the_shop_has_pinned_boosted_or_buried(tmp_path: Path) -> None:
    shop = PipelineShop(tmp_path)
    shop.explore(SHARE_MAX)
    buried = [f"p{number}" for number in range(3, 30, 3)]
    shop.rule("last", "bury", products=buried, factor=2)
    for number in range(40):
        row = await shop.ask("popular", k=9, visitor_id=f"v{number}")
        assert not {*buried} & {*row.propensities}
    shop.rule("first", "pin", products=("p9",), position=5)
    rows = [await shop.ask("popular", k=9, visitor_id=f"v{number}") for number in range(40)]
    assert {ids(row)[4] for row in rows} == {"p9"}
    assert all(row.propensities == {} for row in rows)
