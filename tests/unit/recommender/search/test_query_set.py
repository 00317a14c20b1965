"""Sentences as shoppers type them, each with exactly what it should be understood as."""

from typing import Final

import pytest

from services.recommender.search.parser import parse
from services.recommender.search.query import Inferred
from tests.support.search import query_set
from tests.support.search.oracle import find_unasked_filters
from tests.support.search.query_set import Case, Split, cases, encode_cases, generate_cases, vocabulary

RIGHT: Final = 0.97
PUBLIC: Final = {"wands", "esci"}  # after public sets of shoppers' queries


def understand(case: Case) -> Inferred:
    return parse(case.query, vocabulary(case.catalogue))


def test_the_query_set_is_large_and_much_of_it_is_held_out() -> None:
    held_out = [case for case in cases() if case.split == "held_out"]
    assert len(cases()) >= 1_000
    assert len(held_out) >= 400
    assert sum(case.source in PUBLIC for case in cases()) / len(cases()) > 0.495
    assert {case.source for case in held_out} == {"hand", "wands", "esci", "own", "template"}
    assert {"en", "de", "fr", "es", "it"} <= {case.language for case in held_out}


def test_the_query_set_is_what_its_sources_make() -> None:
    assert query_set.QUERIES.read_bytes() == encode_cases(generate_cases()), (
        "run python -m tests.support.search.query_set"
    )


@pytest.mark.parametrize("split", ["tuning", "held_out"])
@pytest.mark.parametrize("sources", [{"hand", "template"}, PUBLIC, {"own"}], ids=["first", "public", "own"])
def test_sentences_are_understood_exactly(split: Split, sources: set[str]) -> None:
    asked = [case for case in cases() if case.split == split and case.source in sources]
    right = sum(understand(case) == case.expected for case in asked)
    assert right / len(asked) >= RIGHT, f"{right} of {len(asked)}"


def test_of_what_is_held_out_nearly_all_is_exactly_right() -> None:
    asked = [case for case in cases() if case.split == "held_out"]
    assert sum(understand(case) == case.expected for case in asked) / len(asked) >= RIGHT


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.query[:40] or "nothing")
def test_no_sentence_gets_a_hard_filter_that_it_did_not_ask_for(case: Case) -> None:
    told = understand(case)
    assert find_unasked_filters(case.query, told) == []
    for name in ("categories", "brands", "types", "not_tags", "not_brands", "not_categories", "not_types"):
        extra = set(getattr(told, name)) - set(getattr(case.expected, name))
        assert not extra, f"{name}: {extra}"
    for bound in ("price_min", "price_max"):
        assert getattr(told, bound) in {None, getattr(case.expected, bound)}
