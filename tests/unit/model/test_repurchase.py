"""What was bought is wanted less for a while: a lamp for weeks, coffee until it is used up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.models import DataRange, Manifest
from schemas.times import DAY_MS
from services.model.artifact import Artifact, ArtifactRefused
from services.model.repurchase import FLOOR, REPEATS, Repeat, Repeats, damping, is_due

NOW = 1_700_000_000_000
shares = st.floats(0, 1)
days = st.floats(0, 4000)
repeat = st.builds(Repeat, shares, st.floats(0.01, 1000), st.integers(0, 1000))
KNOWN = Repeats({"Coffee": Repeat(0.7, 14.0), "Lamp": Repeat(0.01, 200.0)}, {"Pantry": Repeat(0.6, 20.0)})


@given(repeat, days, days)
def test_factors_lie_within_bounds_and_rise_with_time(known: Repeat, one: float, other: float) -> None:
    repeats = Repeats({"Thing": known})
    early, late = (damping("Thing", NOW, NOW + each * DAY_MS, repeats) for each in sorted((one, other)))
    assert 0 < FLOOR <= early <= late <= 1


@given(repeat, st.floats(0.01, 1000))
def test_what_lies_ahead_counts_as_bought_now(known: Repeat, ahead: float) -> None:
    repeats = Repeats({"Thing": known})
    assert (
        damping("Thing", NOW + ahead * DAY_MS, NOW, repeats) == damping("Thing", NOW, NOW, repeats) == FLOOR
    )


def test_a_durable_is_damped_for_weeks_and_a_consumable_until_it_is_used_up() -> None:
    def after(type_: str, passed: float) -> float:
        return damping(type_, NOW, NOW + passed * DAY_MS, KNOWN)

    assert after("Lamp", 7) < 0.25 < after("Lamp", 21) < 0.55
    assert after("Lamp", 120) > 0.9
    assert after("Coffee", 4) < 0.05
    assert after("Coffee", 14) == 1


def test_only_a_consumable_is_due_and_not_for_ever() -> None:
    assert [is_due("Coffee", NOW, NOW + passed * DAY_MS, KNOWN) for passed in (2, 14, 40, 60)] == [
        False, True, True, False,
    ]  # fmt: skip
    assert not any(is_due("Lamp", NOW, NOW + passed * DAY_MS, KNOWN) for passed in (100, 200, 300))
    assert is_due("Tea", NOW, NOW + 21 * DAY_MS, KNOWN, category="Pantry")  # by its category
    assert not is_due(None, NOW, NOW + 30 * DAY_MS, Repeats())  # before anything is learned


@given(st.builds(Repeats, st.dictionaries(st.text(), repeat), st.dictionaries(st.text(), repeat), repeat))
def test_they_are_read_as_they_were_written(repeats: Repeats) -> None:
    assert Repeats.read(_model({REPEATS: repeats.text()})) == repeats


def test_models_of_before_have_the_default_and_broken_files_are_refused() -> None:
    assert Repeats.read(_model({})) == Repeats()
    bad = Repeats({"Lamp": Repeat(2.0, 10.0)}).text()
    for text in ("", "[]", "[" * 100_000, bad):
        with pytest.raises(ArtifactRefused, match=REPEATS):
            Repeats.read(_model({REPEATS: text}))


def _model(texts: dict[str, str]) -> Artifact:
    manifest = Manifest(
        version="20240101T000000Z-0000", created_at=0, data=DataRange(0, 0), counts={}, parameters={}
    )
    return Artifact(manifest, "", {}, texts)
