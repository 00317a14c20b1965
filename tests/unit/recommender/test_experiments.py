"""Who is in which variant of which experiment, and what variants come to together."""

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.experiments import Experiment, Variant
from services.recommender.pipeline.experiments import (
    AS_EVERYONE,
    ExperimentSchedule,
    combine_variants,
    knobs,
    overlap,
)

VISITORS = [f"visitor-{number}" for number in range(20_000)]


def halves(name: str, **fields: object) -> Experiment:
    made = Experiment(name=name, variants=(Variant(name="a", share=0.5), Variant(name="b", share=0.5)))
    return msgspec.structs.replace(made, **fields)


def book(*experiments: Experiment) -> ExperimentSchedule:
    made = ExperimentSchedule()
    for each in experiments:
        made.put(each.name, each)
    return made


def names(of: ExperimentSchedule, visitor_id: str, now: float = 0) -> dict[str, str]:
    return {experiment: variant.name for experiment, variant in of.variants_of(visitor_id, now).items()}


def test_without_experiments_everybody_is_treated_alike() -> None:
    assert book().variants_of("v", 0) == {}
    assert combine_variants({}) is AS_EVERYONE
    assert (AS_EVERYONE.weights("similar"), AS_EVERYONE.diversity, AS_EVERYONE.model) == ({}, None, None)


@given(st.text(min_size=1, max_size=64), st.lists(st.sampled_from("abcd"), unique=True))
def test_a_visitor_stays_in_its_variant_whatever_else_runs_and_whoever_asks(
    visitor_id: str, others: list[str]
) -> None:
    alone, among = book(halves("x")), book(*map(halves, others), halves("x"))
    assert names(alone, visitor_id)["x"] == names(among, visitor_id, now=1e12)["x"]


def test_shares_are_met_and_visitors_beyond_them_are_in_no_variant() -> None:
    variants = (Variant(name="a", share=0.6), Variant(name="b", share=0.3), Variant(name="none", share=0.0))
    found = book(Experiment(name="x", variants=variants))
    counts = Counter(names(found, visitor_id).get("x") for visitor_id in VISITORS)
    # Five standard deviations of a share of 20,000 visitors are 0.018 at most.
    assert {name: count / len(VISITORS) for name, count in counts.items()} == pytest.approx(
        {"a": 0.6, "b": 0.3, None: 0.1}, abs=0.018
    )


def test_experiments_are_independent_of_each_other() -> None:
    both = book(halves("x"), halves("y"))
    counts = Counter(tuple(names(both, visitor_id).values()) for visitor_id in VISITORS)
    assert len(counts) == 4
    expected = len(VISITORS) / 4
    # Chi-square with 3 degrees of freedom is greater in one of 200,000 draws; ids are the same in every run.
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < 27.9


def test_an_experiment_runs_in_its_window_only_and_the_next_change_is_known() -> None:
    found = book(halves("x", starts_at=10, ends_at=20), halves("y", ends_at=15))
    assert [sorted(names(found, "v", now)) for now in (5, 10, 15, 20)] == [["y"], ["x", "y"], ["x"], []]
    assert [found.next_change(now) for now in (5, 10, 15, 20)] == [10, 15, 20, None]


def test_the_later_message_counts_and_a_tombstone_ends_it() -> None:
    found = book(halves("x"))
    assert found.put("x", halves("x", variants=(Variant(name="c", share=1.0), Variant(name="d", share=0.0))))
    assert names(found, "v") == {"x": "c"}
    assert not found.put("x", msgspec.structs.replace(found.get("x") or halves("x"), updated_at=9))
    assert found.put("x", None)
    assert found.experiments == ()


def test_variants_come_together_and_the_first_by_name_wins_knob_by_knob() -> None:
    first = Variant(name="less", share=1, weights={"similar": {"brand": 0.1}}, model="")
    second = Variant(
        name="more",
        share=1,
        weights={"similar": {"brand": 0.9, "image": 0.2}, "search": {"text": 2.0}},
        model="behaviour-b",
        diversity=0.4,
    )
    for variants in ({"a": first, "b": second}, {"b": second, "a": first}):
        found = combine_variants(variants)
        assert found.weights("similar") == {"brand": 0.1, "image": 0.2}
        assert found.weights("search") == {"text": 2.0}
        assert found.weights("for_you") == {}
        assert (found.model, found.diversity) == ("", 0.4)
        assert found.names == {"a": "less", "b": "more"}


def test_what_an_experiment_sets_and_whether_two_meet() -> None:
    sets = (
        Variant(name="a", share=0.5),
        Variant(name="b", share=0.5, weights={"search": {"text": 1}}, model=""),
    )
    assert knobs(halves("x", variants=sets)) == {"weights.search.text", "model"}
    assert overlap(halves("x"), halves("y", starts_at=5))
    assert overlap(halves("x", ends_at=6), halves("y", starts_at=5))
    assert not overlap(halves("x", ends_at=5), halves("y", starts_at=5))
