"""What the report says: the verdict by the intervals, what has to be known, and the same everywhere."""

from collections.abc import Mapping
from unittest.mock import patch

import msgspec

from services.cli import console
from services.ops.replay import render
from services.ops.replay.figures import LIVE, SHADOW, SHOWN, ReplayReport, change, interval, points
from services.ops.replay.next_click import Case
from services.ops.replay.recommendations import Row
from services.ops.replay.report import report
from tests.support.replay import (
    ASKED,
    BETTER,
    CATALOGUE,
    EQUAL,
    FED,
    SESSIONS,
    WORSE,
    case,
    row,
    shop,
    with_target_at,
)

NOW = 1_731_000_000_000


def of(rows: Mapping[str, Mapping[Case, Row]], notes: tuple[str, ...] = ()) -> ReplayReport:
    cases = sorted({each for found in rows.values() for each in found})
    return report(ASKED, FED, SESSIONS, cases, rows, CATALOGUE, notes, NOW)


def print_report(made: ReplayReport, width: int = 100) -> str:
    with patch.object(console, "_width", width), console.capture() as capture:
        render.show(made)
    return capture.get()


def test_new_settings_that_hit_more_often_are_better() -> None:
    made = of(shop(1, 200, BETTER)[1])
    assert made.verdict.startswith("Yes: the next product was among the first 6 in ")
    difference = made.compared[0].hit_rate_difference
    assert f"95% interval {interval(difference, points)}; 600 cases of 200 visitors" in made.verdict


def test_new_settings_that_hit_less_often_are_worse_whatever_was_shown() -> None:
    made = of(shop(1, 100, WORSE)[1])
    assert made.verdict.startswith("No, it would have been worse: ")


def test_what_may_be_chance_is_not_told_as_a_difference() -> None:
    made = of({SHADOW: shop(3, 60, EQUAL)[1][SHADOW], LIVE: shop(4, 60, EQUAL)[1][LIVE]})
    assert made.verdict.startswith("It cannot be told: the difference of ")
    assert "may be chance" in made.verdict
    assert "(180 cases of 60 visitors)" in made.verdict


def test_of_few_visitors_even_a_large_difference_is_no_yes() -> None:
    made = of(shop(1, 20, {SHADOW: 0.6, LIVE: 0.2})[1])
    low = made.compared[0].hit_rate_difference.low
    assert low is not None
    assert low > 0
    assert made.verdict.startswith("It cannot be told of fewer than 30 visitors: ")
    assert any("only 20 visitors; intervals of so few are rough" in note for note in made.notes)


def test_the_same_rows_are_not_better() -> None:
    _, rows = shop(1, 30, {SHADOW: 0.3})
    assert of({SHADOW: rows[SHADOW], LIVE: rows[SHADOW]}).verdict == (
        "No: both made the same 90 rows, product by product."
    )


def test_a_handful_of_visitors_tells_nothing() -> None:
    shadow = {case(number): with_target_at(1) for number in range(3)}
    live = {case(number): with_target_at(0) for number in range(3)}
    verdict = of({SHADOW: shadow, LIVE: live}).verdict
    assert verdict.startswith("It cannot be told: fewer than 5 visitors make the difference")


def test_hits_that_stand_further_down_are_no_clear_gain() -> None:
    live = {case(number): with_target_at(1 if number % 3 == 0 else 0) for number in range(300)}
    shadow = {case(number): with_target_at(6 if number % 3 < 2 else 0) for number in range(300)}
    verdict = of({SHADOW: shadow, LIVE: live}).verdict
    assert verdict.startswith("It cannot be told: ")
    assert "it stood further down there (MRR −0." in verdict


def test_without_cases_there_is_nothing_to_tell() -> None:
    verdict = of({SHADOW: {}, LIVE: {}}).verdict
    assert verdict.startswith("It cannot be told: nobody clicked on a product that was new to them")


def test_a_shadow_with_the_live_settings_is_not_asked_whether_it_is_better() -> None:
    rows = shop(1, 40, WORSE)[1]
    made = of({SHADOW: rows[SHADOW], SHOWN: rows[SHOWN]})
    assert made.verdict.startswith("Nothing was changed: ")
    assert not any(f"“{SHADOW}” against “{LIVE}”" in note for note in made.notes)
    assert made.compared[0].cases == 120


def test_a_replay_into_live_has_sessions_and_no_verdict() -> None:
    made = report(ASKED, FED, SESSIONS, [], {}, CATALOGUE, ["a note"], NOW)
    assert made.verdict == ""
    assert made.notes == ("a note",)
    assert "298 equal, 1 different" in print_report(made)


def test_that_visitors_clicked_on_what_they_saw_stands_beside_the_figure() -> None:
    made = of(shop(1, 40, WORSE)[1])
    assert any("no fair rival" in note for note in made.notes)
    assert any(f"“{SHADOW}” against “{LIVE}”: the visitor saw neither" in note for note in made.notes)
    assert f"“{SHOWN}” has the advantage" in print_report(made)
    unseen = of(shop(1, 40, BETTER)[1])
    assert not any("no fair rival" in note for note in unseen.notes)
    assert "has the advantage" not in print_report(unseen)
    assert any(note.startswith("Clicks were made on what live showed") for note in unseen.notes)


def test_rows_that_are_missing_short_or_mixed_are_told_of() -> None:
    _, rows = shop(1, 40, BETTER)
    some = dict(list(rows[LIVE].items())[:100])
    seen = {each: row("p1", "p2", version="4" if number % 2 else "5") for number, each in enumerate(some)}
    first = next(iter(seen))
    seen[first] = Row(("p1",), None, {}, {"less-brand": "b"})
    notes = " ".join(of({**rows, SHOWN: seen}).notes)
    assert "as shown: rows for 100 of 120 cases" in notes
    assert "100 of 100 rows that were shown had fewer than 6 products" in notes
    assert "as shown: its rows are of several models (behaviour 4, 5)" in notes
    assert "as shown: 1 of its rows are of variants of experiments (less-brand)" in notes


def test_pairs_come_in_the_order_of_the_pipelines() -> None:
    made = of(shop(1, 40, WORSE)[1])
    assert [each.name for each in made.qualities] == [SHADOW, LIVE, SHOWN]
    pairs = [(each.name, each.with_name) for each in made.compared]
    assert pairs == [(SHADOW, LIVE), (SHADOW, SHOWN), (LIVE, SHOWN)]


def test_the_same_replay_gives_the_same_report_in_whatever_order_cases_come() -> None:
    cases, rows = shop(1, 60, WORSE)
    backwards = {name: dict(reversed(found.items())) for name, found in rows.items()}
    again = report(ASKED, FED, SESSIONS, cases[::-1], backwards, CATALOGUE, (), NOW)
    assert msgspec.json.encode(again) == msgspec.json.encode(of(rows))


def test_a_report_comes_back_from_its_json() -> None:
    made = of(shop(1, 40, WORSE)[1])
    assert msgspec.json.decode(msgspec.json.encode(made), type=ReplayReport) == made


def test_at_a_terminal_all_figures_have_their_intervals_and_nothing_is_taken_for_markup() -> None:
    made = of(shop(1, 100, WORSE)[1], ("[bold]p1[/] is gone",))
    text = print_report(made, 160)
    assert "! [bold]p1[/] is gone" in text
    for pair in made.compared:
        assert interval(pair.hit_rate_difference, points) in text
        assert interval(pair.mrr_difference, change) in text
    assert text.rstrip().endswith(made.verdict)


def test_points_have_a_sign_and_nothing_has_none() -> None:
    assert [points(0.0123), points(-0.0123), points(-0.0001), points(0)] == ["+1.2", "−1.2", "0.0", "0.0"]
