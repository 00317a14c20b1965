"""What a shadow is to have otherwise: a settings file, and the version of a model."""

from pathlib import Path

import msgspec
import pytest

from schemas import experiments
from schemas.models import Released
from services.ops.replay import variant
from services.ops.replay.source import ReplayFailed, speed_of
from tests.support.models import release, store_artifact

KNOWN = {"diversity", "brand_max", "session_gap_minutes", "session_type_weights", "topic_prefix"}
OLD, NEW, NEWEST = "20241001T000000Z-aaaa", "20241102T000000Z-bbbb", "20241103T000000Z-cccc"


def read(folder: Path, text: str) -> variant.VariantSettings:
    path = folder / "weights.toml"
    path.write_text(text)
    return variant.read(path, KNOWN)


def test_settings_are_as_the_environment_has_them_and_weights_become_an_experiment(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "diversity = 0.3\nsession_type_weights = {view_item = 0.4}\n"
        "[weights.for_you]\nbrand = 0.2\n[weights.search]\nsession = 1\n",
    )

    assert found.settings == {"diversity": "0.3", "session_type_weights": '{"view_item":0.4}'}
    experiment = found.experiment(7)
    assert experiment is not None
    assert experiments.check(experiment) is None
    for visitor in ("a", "b", "case:3"):
        given = experiment.variant_of(visitor)
        assert given is not None
        assert given.weights == {"for_you": {"brand": 0.2}, "search": {"session": 1.0}}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("divresity = 1", "no setting divresity; near it are: diversity"),
        ("topic_prefix = 'x'", "topic_prefix is set by the shadow itself"),
        ("[weights.for_you]\nbrnad = 1", "knows no brnad; near it are: brand"),
        ("[weights.for_you]\nsession = 1", "knows no session"),
        ("[weights.for_yuo]\nbrand = 1", "Invalid enum value 'for_yuo'"),
        ("[weights.for_you]\nbrand = 'x'", "Expected `float`"),
        ("[weights.for_you]\nbrand = 11", "<= 10"),
        ("weights = 3", "Expected `object`"),
        ("diversity =", "is no TOML"),
        ("", "nothing is in it"),
    ],
)
def test_a_file_that_makes_no_sense_is_told_with_what_is_near(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ReplayFailed) as refused:
        read(tmp_path, text)

    assert told in str(refused.value)
    assert "weights.toml" in str(refused.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ReplayFailed, match="No such file"):
        variant.read(tmp_path / "none.toml", KNOWN)


@pytest.mark.parametrize(
    ("wanted", "found"), [("1", OLD), ("3", NEWEST), ("20241001", OLD), (NEW, NEW), ("20241103T", NEWEST)]
)
def test_a_version_is_its_number_its_name_or_a_beginning_that_no_other_has(wanted: str, found: str) -> None:
    assert variant.pick_version(wanted, [OLD, NEW, NEWEST], "store") == found


@pytest.mark.parametrize(
    ("wanted", "told"), [("202411", "2 versions"), ("4", "no version"), ("x", "3, the newest")]
)
def test_what_names_no_version_or_several_is_told(wanted: str, told: str) -> None:
    with pytest.raises(ReplayFailed, match=told):
        variant.pick_version(wanted, [OLD, NEW, NEWEST], "store")


def test_a_model_is_found_in_the_store_by_another_name_too_and_is_released_as_the_shops_own(
    tmp_path: Path,
) -> None:
    made = store_artifact(tmp_path / "behaviour" / OLD, version=OLD)

    found = variant.choose_release("item2vec=1", "behaviour", str(tmp_path), None, now=5)

    assert found is not None
    assert (found.name, found.version, found.digest) == ("behaviour", OLD, made.digest)
    assert found.location.endswith(f"behaviour/{OLD}")


def test_the_model_before_and_none_at_all_can_be_named(tmp_path: Path) -> None:
    before = Released(OLD, "file:///x", "0" * 64)
    live = msgspec.structs.replace(release(tmp_path, "1" * 64, NEW), previous=before)

    found = variant.choose_release("behaviour=previous", "behaviour", str(tmp_path), live, now=5)

    assert found is not None
    assert found.released == before
    assert variant.choose_release("behaviour=none", "behaviour", str(tmp_path), live, now=5) is None
    with pytest.raises(ReplayFailed, match="nothing was released before"):
        variant.choose_release("behaviour=previous", "behaviour", str(tmp_path), None, now=5)
    with pytest.raises(ReplayFailed, match="NAME=VERSION"):
        variant.choose_release("behaviour", "behaviour", str(tmp_path), live, now=5)


@pytest.mark.parametrize(("text", "speed"), [("max", None), ("10", 10.0), ("0.5", 0.5), ("2x", 2.0)])
def test_speed_is_a_number_or_max(text: str, speed: float | None) -> None:
    assert speed_of(text) == speed


@pytest.mark.parametrize("text", ["0", "-1", "fast", "nan", "1e9"])
def test_other_speeds_are_refused(text: str) -> None:
    with pytest.raises(ReplayFailed, match="--speed takes max"):
        speed_of(text)
