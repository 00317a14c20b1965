"""LightGBM's trees as arrays say what LightGBM says."""

import lightgbm
import numpy as np
import pytest

from services.model.forest import Trees, score_trees
from services.trainer.lambdarank import flatten


def boost(features: np.ndarray, labels: np.ndarray, **options: object) -> lightgbm.Booster:
    settings = {"objective": "binary", "verbosity": -1, "use_missing": False, "min_data_in_leaf": 5}
    return lightgbm.train(settings | options, lightgbm.Dataset(features, labels), 20)


def test_they_agree_with_lightgbm_also_on_the_edges_of_splits() -> None:
    random = np.random.default_rng(0)
    features = random.integers(0, 30, size=(2000, 6)).astype(np.float32) / np.float32(7)
    labels = (features[:, 0] * features[:, 1] + features[:, 2] > 5).astype(int)
    booster = boost(features, labels)
    assert np.allclose(
        score_trees(flatten(booster.dump_model()), features),
        booster.predict(features, raw_score=True),
        atol=1e-5,
    )


def test_a_model_without_any_split_is_a_constant() -> None:
    booster = boost(np.ones((50, 2), np.float32), np.arange(50) % 2)
    scores = score_trees(flatten(booster.dump_model()), np.zeros((3, 2), np.float32))
    assert np.allclose(scores, scores[0])


def test_a_split_by_categories_is_refused() -> None:
    node = {"decision_type": "==", "split_feature": 0, "threshold": "1||2"}
    with pytest.raises(ValueError, match="=="):
        flatten({"tree_info": [{"tree_structure": node}]})


def test_they_travel_as_arrays() -> None:
    trees = Trees(*(np.array([each]) for each in ([0], [-1], [0.5], [0], [0])))
    assert Trees.are_in(trees.arrays())
    assert not Trees.are_in({})
