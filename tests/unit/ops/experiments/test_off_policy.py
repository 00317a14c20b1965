"""What another order would have brought, beside the truth of simulated logs."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.experiments import Experiment, Variant
from services.ops.experiments import render
from services.ops.experiments.attribution import Behaviour, HistoryEvent, Rows, ShownProduct, ShownRow
from services.ops.experiments.query import Omissions, ReportRequest
from services.ops.experiments.report import OffPolicy, Report, report
from services.recommender.pipeline.exploration import arrange
from services.visitors.identity_graph import IdentityGraph

RANKED, PLACES = 8, 6
EXAMINED = 1 / np.arange(1, PLACES + 1) ** 0.7
PLEASES = np.linspace(0.5, 0.08, RANKED)  # of the product at each rank, to whoever looks at it
EXPERIMENT = Experiment(name="e", variants=(Variant(name="all", share=1.0),))
QUESTION = ReportRequest(experiment="e", window_ms=1000, confidence=0.95)
LOWER = slice(3, PLACES)
SIMULATIONS = 40

# By the definition of the figures: without chance, and over pairs of place and product that chance makes.
TRUE_RANKED = float((EXAMINED * PLEASES[:PLACES]).sum())
TRUE_AS_RANKED = float((EXAMINED * PLEASES[:PLACES])[LOWER].mean())
TRUE_BY_CHANCE = float(
    np.mean([EXAMINED[place] * PLEASES[rank] for place in (3, 4, 5) for rank in range(3, 8) if rank != place])
)


def simulate(seed: int, people: int, rows: int, share: float) -> Report:
    """Each visitor sees so many rows, and clicks on what is looked at and pleases."""
    rng, behaviour = np.random.default_rng(seed), Behaviour()
    shown = []
    for number in range(people * rows):
        visitor, name = f"v{number % people}", f"r{number}"
        order, propensities = arrange([True] * RANKED, PLACES, share, f"{seed} {number}".encode())
        items = tuple(
            ShownProduct(f"p{rank}", propensity) for rank, propensity in zip(order, propensities, strict=True)
        )
        row = ShownRow(
            recommendation_id=name,
            visitor_id=visitor,
            slot="s",
            shown_at=1,
            items=items,
            experiments={"e": "all"},
        )
        shown += [row, row] if number % 50 == 0 else [row]  # Kafka may give one twice
        for place in np.flatnonzero(rng.random(PLACES) < EXAMINED * PLEASES[order]).tolist():
            click = HistoryEvent(
                event_id=f"00000000-0000-4000-8000-{number * PLACES + place:012d}",
                type="select_item",
                visitor_id=visitor,
                occurred_at=2,
                product_id=items[place].product_id,
                recommendation_id=name,
            )
            behaviour.add(visitor, click)
    taken = Rows("e", IdentityGraph(), behaviour)
    taken.extend(shown)
    return report(QUESTION, EXPERIMENT, taken.attribute(1000), Omissions(), 10)


def figures(seed: int, people: int = 150, rows: int = 8, share: float = 0.1) -> OffPolicy:
    return simulate(seed, people, rows, share).variants[0].off_policy


@pytest.fixture(scope="module")
def many() -> list[OffPolicy]:
    return [figures(seed, people=120) for seed in range(SIMULATIONS)]


@pytest.mark.parametrize(
    ("estimate", "truth"),
    [
        (lambda each: each.ranked.estimate, TRUE_RANKED),
        (lambda each: each.as_ranked, TRUE_AS_RANKED),
        (lambda each: each.by_chance, TRUE_BY_CHANCE),
        (lambda each: each.order, TRUE_AS_RANKED / TRUE_BY_CHANCE - 1),
    ],
    ids=["ranked", "as ranked", "by chance", "order"],
)
def test_estimates_are_right_on_average_and_their_intervals_hold_the_truth_as_often_as_they_say(
    many: list[OffPolicy], estimate: Callable[[OffPolicy], object], truth: float
) -> None:
    found = [estimate(each) for each in many]
    values = np.array([each.value for each in found])  # type: ignore[attr-defined]
    assert abs(values.mean() - truth) < 3.5 * values.std(ddof=1) / np.sqrt(len(values))
    covered = sum(each.low <= truth <= each.high for each in found)  # type: ignore[attr-defined]
    assert covered >= 33  # 38 of 40 on average


@settings(max_examples=5, deadline=None)
@given(share=st.sampled_from([0.01, 0.05, 0.1]), seed=st.integers(0, 10_000))
def test_the_counts_are_those_of_the_rows(share: float, seed: int) -> None:
    found = figures(seed, people=40, rows=5, share=share)
    assert found.rows == 200
    assert found.places == 200 * 3
    assert abs(found.moved - share * found.places) < 6 * np.sqrt(share * found.places) + 1
    assert found.moved_clicks <= found.moved


def test_too_few_places_give_no_interval_and_a_sentence_that_says_what_to_do() -> None:
    made = simulate(1, people=30, rows=3, share=0.02)
    found = made.variants[0].off_policy
    assert not found.enough
    assert found.by_chance.low is found.by_chance.high is found.order.low is None
    sentences = "\n".join(render._sentences(made))
    assert f"all: chance filled {found.moved} of 270 lower places, {found.moved_clicks} clicks" in sentences
    assert "too few to tell" in sentences
    assert "raise EDDY_EXPLORE_SHARE" in sentences


def test_rows_without_chance_say_so() -> None:
    made = simulate(1, people=30, rows=3, share=0.0)
    assert made.variants[0].off_policy.rows == 0
    assert "set EDDY_EXPLORE_SHARE above 0" in "\n".join(render._sentences(made))
    assert "lower places" not in [name for name, _ in render._rows(made.variants)]
