"""The session formula as settings of a shop; a bad value ends the start with the setting's name."""

import pytest

from services.model.session import TYPE_WEIGHTS, Tuning
from services.session_processor.settings import SessionProcessorSettings
from services.settings import load


def load_tuning(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Tuning:
    for name, value in variables.items():
        monkeypatch.setenv(f"EDDY_{name}", value)
    return load(SessionProcessorSettings).tuning


def test_without_settings_the_tuning_is_the_designs() -> None:
    assert SessionProcessorSettings().tuning == Tuning(type_weights=dict(TYPE_WEIGHTS))


def test_every_constant_of_the_formula_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    tuning = load_tuning(
        monkeypatch,
        SESSION_TYPE_WEIGHTS='{"select_item": 0.2, "view_item": 0}',
        SESSION_HALF_LIFE_EVENTS="4",
        SESSION_HALF_LIFE_MINUTES="10",
        SESSION_GAP_MINUTES="0.5",
        SESSION_SLOW_HALF_LIFE_DAYS="7",
        SESSION_SLOW_WEIGHT="0",
        SESSION_INTERESTS="2",
        SESSION_IDLE_DAYS="3",
        SESSION_CLICKS_GIVE_WAY="false",
    )
    day = 24 * 3600 * 1000
    weights = {**TYPE_WEIGHTS, "select_item": 0.2, "view_item": 0.0}
    assert tuning == Tuning(
        weights, 4.0, 600_000.0, 7.0 * day, 0.0, 30_000, 3 * day, 2, clicks_give_way=False
    )


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("SESSION_TYPE_WEIGHTS", "view_item=1", "this is no JSON"),
        (
            "SESSION_TYPE_WEIGHTS",
            '{"view": 1}',
            "no such event type with a product: view; there are view_item",
        ),
        ("SESSION_TYPE_WEIGHTS", '{"search": 1}', "no such event type with a product: search"),
        ("SESSION_TYPE_WEIGHTS", '{"purchase": "much"}', "purchase: Input should be a valid number"),
        ("SESSION_TYPE_WEIGHTS", '{"purchase": Infinity}', "purchase: Input should be a finite number"),
        (
            "SESSION_TYPE_WEIGHTS",
            '{"view_item": 0, "select_item": 0, "add_to_cart": 0, "add_to_wishlist": 0, "purchase": -1}',
            "no event type counts for more than 0",
        ),
        ("SESSION_HALF_LIFE_EVENTS", "nan", "greater than 0"),
        ("SESSION_HALF_LIFE_MINUTES", "-1", "greater than 0"),
        ("SESSION_GAP_MINUTES", "0", "greater than 0"),
        ("SESSION_SLOW_HALF_LIFE_DAYS", "0", "greater than 0"),
        ("SESSION_SLOW_WEIGHT", "-0.1", "greater than or equal to 0"),
        ("SESSION_INTERESTS", "4", "less than or equal to 3"),
        ("SESSION_IDLE_DAYS", "31", "less than or equal to 30"),
    ],
)
def test_a_bad_value_is_told_by_its_settings_name(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
    reason: str,
) -> None:
    with pytest.raises(SystemExit) as ended:
        load_tuning(monkeypatch, **{variable: value})
    assert ended.value.code == 2
    [told] = capsys.readouterr().err.splitlines()
    assert told.startswith(f"EDDY_{variable} (")
    assert reason in told
