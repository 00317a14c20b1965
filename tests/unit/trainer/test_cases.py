"""The last day is held out, and nobody has seen it."""

import pytest

from schemas.sessions import KIND_OF
from schemas.times import DAY_MS
from services.trainer.cases import Case, Split, last_day
from tests.support.histories import REMOVE, histories


def ask(split: Split) -> list[tuple[str, str]]:
    return [("".join(case.prefix), case.target) for case in split.cases]


def test_sessions_that_end_on_the_last_day_are_held_out() -> None:
    split = last_day(histories((1, "ab"), (2, "bc"), (8.9, "abc"), (9.1, "cab"), (10, "ab")))
    assert split.training.sessions == 3
    assert ask(split) == [("c", "a"), ("ca", "b"), ("a", "b")]


def test_a_case_knows_when_its_events_were_and_of_which_type() -> None:
    found = histories((1, "ab"), (1, "ab"), (9, "ba"), types={"b": KIND_OF["add_to_cart"]})
    [case] = last_day(found).cases
    [event] = case.events
    assert (event.product_id, event.type, event.occurred_at) == ("b", "add_to_cart", 9 * DAY_MS - 1000)


def test_of_a_case_without_times_the_events_are_views_a_second_apart() -> None:
    events = Case(("x", "y", "x"), "z").events
    assert [(each.product_id, each.type, each.occurred_at) for each in events] == [
        ("x", "view_item", 0), ("y", "view_item", 1000), ("x", "view_item", 2000)
    ]  # fmt: skip
    assert sorted(events) == list(events)
    assert len({each.identity for each in events}) == 3


def test_what_nobody_could_know_is_no_case() -> None:
    split = last_day(histories((1, "ab"), (2, "ab"), (10, "axb")))
    assert ask(split) == [("ax", "b")]
    assert "x" not in split.training.products


def test_what_was_taken_out_of_a_cart_is_no_case() -> None:
    split = last_day(histories((1, "abr"), (2, "ab"), (10, "arb"), types={"r": REMOVE}))
    assert ask(split) == [("ar", "b")]


def test_of_a_single_day_the_newest_tenth_is_held_out() -> None:
    split = last_day(histories(*((number / 100, "ab") for number in range(20))))
    assert split.training.sessions == 18
    assert len(split.cases) == 2


@pytest.mark.parametrize("sessions", [(), ((1, "ab"),), ((1, "ab"), (1.1, "ab"))])
def test_too_few_sessions_give_no_cases(sessions: tuple[tuple[float, str], ...]) -> None:
    split = last_day(histories(*sessions))
    assert split.cases == ()
    assert split.training.sessions == len(sessions)


def test_of_too_many_cases_some_are_taken_evenly() -> None:
    found = histories(*((1, "abc") for _ in range(50)), *((9, "abc") for _ in range(40)))
    every, some = last_day(found).cases, last_day(found, cases_max=8).cases
    assert (len(every), len(some)) == (80, 8)
    assert some[0] == every[0]
    assert some[-1] == every[-1]
    assert last_day(found, cases_max=8).cases == some
