"""The report as machines and people get it."""

import json
from unittest.mock import patch

import msgspec
import numpy as np
import pytest

from schemas.experiments import Experiment, Variant
from services.cli import console
from services.ops.experiments import render
from services.ops.experiments.attribution import Behaviour, HistoryEvent, Rows, ShownProduct, ShownRow
from services.ops.experiments.query import Omissions, ReportRequest
from services.ops.experiments.report import Report, report
from services.visitors.identity_graph import IdentityGraph

DAY = 24 * 60 * 60 * 1000
BEGIN = 1_732_449_600_000
LATER = BEGIN + 30 * DAY
EXPERIMENT = Experiment(
    name="colours", variants=(Variant(name="as-is", share=0.5), Variant(name="[bold]", share=0.5))
)
QUESTION = ReportRequest(experiment="colours", window_ms=7 * DAY, confidence=0.95)
CLICK = {"as-is": 0.1, "[bold]": 0.2}


def simulate(
    seed: int, people: int, shown: dict[str, float] = CLICK
) -> tuple[list[ShownRow], list[HistoryEvent]]:
    """Visitors assigned by hash see five rows each, and click on a row as likely as their variant says."""
    rng = np.random.default_rng(seed)
    rows: list[ShownRow] = []
    events: list[HistoryEvent] = []
    for person in range(people):
        visitor = f"v{person}"
        variant = EXPERIMENT.variant_of(visitor)
        assert variant is not None
        if variant.name not in shown:
            continue
        for number in range(5):
            name, at = f"{visitor}-{number}", BEGIN + number * 1000
            rows.append(
                ShownRow(
                    recommendation_id=name, visitor_id=visitor, slot="top", shown_at=at,
                    items=(ShownProduct("p"),), experiments={"colours": variant.name},
                )
            )  # fmt: skip
            if rng.random() < shown[variant.name]:
                events.append(make_event(len(events), visitor, at + 500, "select_item", name))
        if rng.random() < 0.1:
            events.append(make_event(len(events), visitor, BEGIN + DAY, "purchase", None))
    return rows, events


def make_event(number: int, visitor: str, at: int, type_: str, name: str | None) -> HistoryEvent:
    return HistoryEvent(
        event_id=f"00000000-0000-4000-8000-{number:012d}",
        type=type_,  # type: ignore[arg-type]
        visitor_id=visitor,
        occurred_at=at,
        product_id="p",
        recommendation_id=name,
        value=20.0 + number % 7 if type_ == "purchase" else None,
        currency=("EUR" if number % 2 else "USD") if type_ == "purchase" else None,
    )


def make_report(rows: list[ShownRow], events: list[HistoryEvent], now: int = LATER) -> Report:
    behaviour = Behaviour()
    for event in events:
        behaviour.add(event.visitor_id, event)
    taken = Rows("colours", IdentityGraph(), behaviour)
    taken.extend(rows)
    return report(QUESTION, EXPERIMENT, taken.attribute(QUESTION.window_ms), Omissions(), now)


def draw(made: Report) -> str:
    with patch.object(console, "_width", 160), console.capture() as capture:
        render.show(made)
    return capture.get()


def test_a_simulated_experiment_is_told_as_it_was_made() -> None:
    rows, events = simulate(1, 2_000)
    made = make_report(rows, events)
    first, second = made.variants
    assert (made.visitors, made.impressions) == (2_000, 10_000)
    for variant, expected in zip(made.variants, CLICK.values(), strict=True):
        estimate = variant.click_rate.estimate
        assert variant.impressions == 5 * variant.visitors
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low < expected < estimate.high
    assert first.click_rate.lift is None
    lift = second.click_rate.lift
    assert lift is not None
    assert lift.significant
    assert lift.low is not None
    assert lift.high is not None
    assert lift.low < 1 < lift.high
    assert second.conversion.lift is not None
    assert not second.conversion.lift.significant
    bought = [event for event in events if event.type == "purchase"]
    assert first.buyers + second.buyers == len(bought)
    for currency in ("EUR", "USD"):
        total = sum(
            each.total for part in made.variants for each in part.revenue if each.currency == currency
        )
        assert total == pytest.approx(sum(event.value or 0 for event in bought if event.currency == currency))
    assert made.sample_ratio.p_value is not None
    assert not made.sample_ratio.mismatch
    assert made.warnings == ()


def test_the_same_messages_in_another_order_make_the_same_document() -> None:
    rows, events = simulate(2, 60)
    mixed = make_report([*rows[::-1], *rows[:20]], [*events[::-1], *events])
    assert msgspec.json.encode(mixed) == msgspec.json.encode(make_report(rows, events))


@pytest.mark.parametrize("people", [1, 3, 60])
@pytest.mark.parametrize("shown", [CLICK, {"as-is": 0.0, "[bold]": 0.0}, {"[bold]": 0.5}, {"as-is": 1.0}])
def test_what_cannot_be_told_is_null(people: int, shown: dict[str, float]) -> None:
    rows, events = simulate(4, people, shown)
    text = msgspec.json.encode(make_report(rows, events)).decode()

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads(text, parse_constant=refuse)["experiment"] == "colours"
    assert draw(make_report(rows, events))


def test_a_variant_that_is_not_shown_is_a_mismatch_and_said() -> None:
    made = make_report(*simulate(4, 60, {"[bold]": 0.5}))
    assert made.sample_ratio.mismatch
    assert any("sample ratio mismatch" in warning for warning in made.warnings)
    assert any("nobody was shown as-is" in warning for warning in made.warnings)


def test_a_variant_that_is_gone_is_told_apart() -> None:
    rows, events = simulate(4, 20)
    former = msgspec.structs.replace(
        rows[0], experiments={"colours": "former"}, recommendation_id="x", shown_at=1
    )
    made = make_report([*rows, former], events)
    assert [variant.share for variant in made.variants] == [0.5, 0.5, None]
    assert made.switched == 1
    assert made.variants[2].visitors == 1
    assert any("no longer part" in warning for warning in made.warnings)
    assert any("two variants" in warning for warning in made.warnings)


def test_windows_that_are_still_open_are_said() -> None:
    made = make_report(*simulate(4, 20), now=BEGIN + DAY)
    assert sum(variant.open_windows for variant in made.variants) == 20
    assert any("may still buy" in warning for warning in made.warnings)


def test_people_see_names_as_they_are() -> None:
    text = draw(make_report(*simulate(1, 300)))
    for expected in ("[bold] (50%)", "click rate, rows", "conversion", "EUR a visitor", "300 visitors"):
        assert expected in text


def test_whether_an_experiment_runs() -> None:
    assert render.state(EXPERIMENT, BEGIN) == "running"
    ended = msgspec.structs.replace(EXPERIMENT, ends_at=BEGIN)
    assert render.state(ended, BEGIN) == "ended"
    assert render.state(msgspec.structs.replace(EXPERIMENT, starts_at=BEGIN + 1), BEGIN) == "not begun"
