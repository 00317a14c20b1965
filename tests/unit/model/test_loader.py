"""From a release to a model: what is not sound is refused by the name of its file."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from infra.stack.broker import ROOT
from schemas import models
from services.model import artifact
from services.model.artifact import ArtifactRefused
from services.model.behaviour import OBJECTIVE_NAMES, POPULARITY_FACTOR
from services.model.candidates import FEATURES, KNN
from services.model.forest import OBJECTIVE_TREES
from services.model.loader import load
from services.model.store import StoreFailed
from tests.support.models import VERSION, contents, manifest, release, store_artifact, tree_leaning_to

Arrays = dict[str, Any]


def test_a_released_model_is_loaded(tmp_path: Path) -> None:
    model = load(store_artifact(tmp_path / "store"), tmp_path / "cache")
    assert model.version == VERSION
    assert sorted(model.by_popularity()) == ["a", "b", "c", "d"]


COMPILED_AFTER_WARMING = """
import sys
from pathlib import Path
from schemas import models
from services.model.forest import score_masked
from services.model.loader import load
from services.model.candidates import generate
from services.model.forest import score_trees
from services.model.warmup import warm

warm()
before = [len(each.signatures) for each in (generate, score_masked, score_trees)]
load(models.decode(sys.argv[1].encode()), Path(sys.argv[2]))
print(before == [len(each.signatures) for each in (generate, score_masked, score_trees)] == [1, 1, 1])
"""


def test_what_was_warmed_is_not_compiled_again(tmp_path: Path) -> None:
    arrays, texts = contents(trees=tree_leaning_to(KNN))
    digest = artifact.write(tmp_path / "store", arrays, texts, manifest())
    message = models.encode(release(tmp_path / "store", digest)).decode()
    command = [sys.executable, "-c", COMPILED_AFTER_WARMING, message, str(tmp_path / "cache")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert told.stdout == "True\n"


def test_another_version_than_released_is_refused(tmp_path: Path) -> None:
    found = replace(store_artifact(tmp_path / "store"), version="20250101T000000Z-abcd")
    with pytest.raises(
        ArtifactRefused, match=rf"manifest.json: is {VERSION}, released as 20250101T000000Z-abcd"
    ):
        load(found, tmp_path / "cache")


def test_a_store_that_is_away_is_no_refusal(tmp_path: Path) -> None:
    with pytest.raises(StoreFailed, match="nowhere"):
        load(release(tmp_path / "nowhere", "0" * 64), tmp_path / "cache")


def _change(name: str, change: Callable[[Any], Any]) -> Callable[[Arrays], Arrays]:
    return lambda arrays: arrays | {name: change(arrays[name])}


def _with(place: int, number: int) -> Callable[[Any], Any]:
    def change_array(array: Any) -> Any:
        copy = array.copy()
        copy.reshape(-1)[place] = number
        return copy

    return change_array


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (
            lambda arrays: {k: v for k, v in arrays.items() if k != "sessions_places"},
            "places.npy: is missing",
        ),
        (_change("item2vec_in", lambda it: it.astype(np.float64)), "item2vec_in.npy: holds float64"),
        (_change("item2vec_out", np.asfortranarray), "item2vec_out.npy: holds"),
        (_change("item2vec_out", lambda it: it[:, :2].copy()), r"item2vec_out.npy: has the shape \(4, 2\)"),
        (_change("sessions_items", _with(0, 4)), "sessions_items.npy: has numbers outside of 0 to 3"),
        (_change("sessions_items", _with(0, -1)), "sessions_items.npy: has numbers outside"),
        (_change("sessions_session_of", lambda it: it[:-1]), "sessions_session_of.npy: tells of 6 of 7"),
        (_change("sessions_places", _with(0, 7)), "sessions_places.npy: has numbers outside of 0 to 6"),
        (_change("sessions_starts", lambda it: it[:0]), "sessions_starts.npy: does not lead from 0 to 7"),
        (_change("sessions_starts", _with(1, 6)), "sessions_starts.npy: does not rise"),
        (_change("sessions_place_starts", lambda it: it[:-1]), "place_starts.npy: does not lead"),
        (_change("sessions_last", lambda it: it[:-1]), "sessions_last.npy: has 3 products"),
        (_change("item2vec_nearest", _with(0, 4)), "item2vec_nearest.npy: has numbers outside of 0 to 3"),
        (_change("item2vec_nearest", lambda it: it[:-1]), "item2vec_nearest.npy: has 3 products"),
        (_change("trees_roots", _with(0, 3)), "trees_roots.npy: has numbers outside of 0 to 2"),
        (_change("trees_feature", _with(0, 10_000)), "trees_feature.npy: has numbers outside"),
        (_change("trees_left", _with(0, 0)), "trees_left.npy: leads from a node to one before it"),
        (_change("trees_right", lambda it: it[:-1]), "trees_right.npy: has 2 nodes"),
        (lambda arrays: {k: v for k, v in arrays.items() if k != "trees_left"}, "trees_left.npy: is missing"),
    ],
)
def test_arrays_that_compiled_code_must_not_read_are_refused(
    tmp_path: Path, spoil: Callable[[Arrays], Arrays], told: str
) -> None:
    arrays, texts = contents(trees=tree_leaning_to(KNN))
    digest = artifact.write(tmp_path / "store", spoil(arrays), texts, manifest())
    with pytest.raises(ArtifactRefused, match=told):
        load(release(tmp_path / "store", digest), tmp_path / "cache")


OBJECTIVE = tree_leaning_to(len(FEATURES)).arrays(OBJECTIVE_TREES)  # by what to order for
FACTORS = np.array([1, 2, 3, 0.5], np.float32)


def test_objectives_and_factors_are_loaded_where_there_are_any(tmp_path: Path) -> None:
    arrays, texts = contents(trees=tree_leaning_to(KNN))
    arrays |= {**OBJECTIVE, POPULARITY_FACTOR: FACTORS}
    texts[OBJECTIVE_NAMES] = '["buy", "of code to come"]'
    digest = artifact.write(tmp_path / "store", arrays, texts, manifest())
    model = load(release(tmp_path / "store", digest), tmp_path / "cache")
    assert model.missing({"cart": 0.5, "buy": 0.5}) == ("cart",)
    assert [model.popularity_factor(each) for each in "abcd?"] == [1, 2, 3, 0.5, 1]
    features = np.zeros((2, len(FEATURES)), np.float32)
    # The tree says −1 for clicks, 1 for all else; a cart counts as a click.
    assert model.scores(features, {"buy": 0.75, "click": 0.25}).tolist() == [0.5, 0.5]
    assert model.scores(features, {"buy": 0.25, "cart": 0.75}).tolist() == [-0.5, -0.5]
    assert model.scores(features, {"buy": 1.0}).tolist() == [1, 1]
    assert model.scores(features[:0], {"buy": 1.0}).tolist() == []
    clicks = model.scores(features)
    assert model.scores(features, {"cart": 1.0}).tolist() == clicks.tolist()
    former = load(store_artifact(tmp_path / "former"), tmp_path / "cache")
    assert former.missing({"click": 0.5, "buy": 0.5}) == ("buy",)
    assert former.popularity_factor("a") == 1
    assert former.scores(features, {"buy": 1.0}).tolist() == former.scores(features).tolist()


@pytest.mark.parametrize(
    ("arrays", "names", "told"),
    [
        (OBJECTIVE, None, "objectives.json: is missing"),
        (OBJECTIVE, "buy", "objectives.json: is no list"),
        (
            tree_leaning_to(len(FEATURES) + 1).arrays(OBJECTIVE_TREES),
            '["buy"]',
            "objective_trees_feature.npy: has numbers outside",
        ),
        ({"objective_trees_roots": OBJECTIVE["objective_trees_roots"]}, '["buy"]', "is missing"),
        ({POPULARITY_FACTOR: FACTORS[:3]}, None, "popularity_factor.npy: has 3 products"),
        (
            {POPULARITY_FACTOR: FACTORS * np.float32(np.nan)},
            None,
            "popularity_factor.npy: has what is no number",
        ),
    ],
)
def test_objectives_and_factors_that_are_not_sound_are_refused(
    tmp_path: Path, arrays: Arrays, names: str | None, told: str
) -> None:
    known, texts = contents(trees=tree_leaning_to(KNN))
    texts |= {} if names is None else {OBJECTIVE_NAMES: names}
    digest = artifact.write(tmp_path / "store", known | arrays, texts, manifest())
    with pytest.raises(ArtifactRefused, match=told):
        load(release(tmp_path / "store", digest), tmp_path / "cache")


def test_a_model_that_knows_nothing_is_loaded_all_the_same(tmp_path: Path) -> None:
    model = load(store_artifact(tmp_path / "store", past=()), tmp_path / "cache")
    assert len(model) == 0
