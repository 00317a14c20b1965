"""Small models from a few past sessions, made without learning."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.models import DataRange, Gate, Manifest, ModelRelease
from services.model import artifact
from services.model.behaviour import FEATURE_NAMES, PRODUCTS, Behaviour
from services.model.candidates import FEATURES
from services.model.forest import ObjectiveTrees, Trees
from services.model.item2vec import Item2Vec, build_item2vec
from services.model.session_index import SessionIndex, build_index

Past = Sequence[Sequence[str]]

VERSION = "20241124T041507Z-3f9a"
PAST: Past = (("a", "b"), ("b", "c", "a"), ("c", "d"))


def parts(past: Past) -> tuple[tuple[str, ...], SessionIndex, Item2Vec]:
    """The products, the index of these sessions, and vectors that mean nothing."""
    products = tuple(sorted({product for session in past for product in session}))
    items = np.array([products.index(each) for session in past for each in session], dtype=np.int32)
    starts = np.cumsum([0, *map(len, past)])
    vectors = np.random.default_rng(1).normal(size=(2, len(products), 4)).astype(np.float32)
    return (
        products,
        build_index(items, starts, len(products), newest=100),
        build_item2vec(vectors[0], vectors[1], k=len(products)),
    )


def behaviour(
    past: Past = PAST,
    version: str = VERSION,
    trees: Trees | None = None,
    objectives: ObjectiveTrees | None = None,
) -> Behaviour:
    """The model of these sessions."""
    return Behaviour(version, *parts(past), trees, objectives=objectives)


def tree_leaning_to(feature: int, threshold: float = 0.5) -> Trees:
    """One tree: what has more of the feature than the threshold comes first."""
    arrays: dict[str, npt.NDArray[Any]] = {
        "roots": np.array([0], np.int32),
        "feature": np.array([feature, -1, -1], np.int32),
        "value": np.array([threshold, -1.0, 1.0], np.float32),
        "left": np.array([1, 0, 0], np.int32),
        "right": np.array([2, 0, 0], np.int32),
    }
    return Trees.of({f"trees_{name}": array for name, array in arrays.items()})


def manifest(version: str = VERSION) -> Manifest:
    """One that tells nothing."""
    return Manifest(version=version, created_at=1, data=DataRange(0, 1), counts={}, parameters={})


def contents(past: Past = PAST, trees: Trees | None = None) -> tuple[dict[str, Any], dict[str, str]]:
    """The arrays and texts of the artifact."""
    products, index, vectors = parts(past)
    texts = {PRODUCTS: msgspec.json.encode(products), FEATURE_NAMES: msgspec.json.encode(FEATURES)}
    arrays = {**index.arrays(), **vectors.arrays(), **(trees.arrays() if trees else {})}
    return arrays, {name: text.decode() for name, text in texts.items()}


def store_artifact(folder: Path, past: Past = PAST, version: str = VERSION) -> ModelRelease:
    """Writes the artifact into a new folder; its release."""
    return release(folder, artifact.write(folder, *contents(past), manifest(version)), version)


def release(folder: Path, digest: str, version: str = VERSION) -> ModelRelease:
    """Of what lies in a folder."""
    return ModelRelease(
        name="behaviour",
        version=version,
        location=f"file://{folder}",
        digest=digest,
        released_at=1,
        gate=Gate("passed"),
    )
