"""From a release to the model it names: fetched, verified, tried out."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas.models import ModelRelease
from schemas.sessions import KIND_OF, SessionEvent
from services.model.artifact import ARRAY, MANIFEST, Artifact, ArtifactRefused
from services.model.behaviour import POPULARITY_FACTOR, Behaviour
from services.model.candidates import FEATURES
from services.model.forest import OBJECTIVE_TREES, Trees
from services.model.ranker import rank_products
from services.model.session import Tuning
from services.model.session_index import SessionIndex
from services.model.store import fetch

Array = npt.NDArray[Any]

FURTHER: Final = frozenset({POPULARITY_FACTOR})
FLOATS: Final = frozenset(
    [
        *(f"sessions_{name}" for name in ("support", "popularity", "season", "trend")),
        *(f"{prefix}_value" for prefix in ("trees", OBJECTIVE_TREES)),
        *("item2vec_in", "item2vec_out"),
        *FURTHER,
    ]
)
TWO_DIMENSIONAL: Final = frozenset({"item2vec_in", "item2vec_out", "item2vec_nearest"})
SESSIONS: Final = tuple(f"sessions_{name}" for name in SessionIndex._fields)
ITEM2VEC: Final = ("item2vec_in", "item2vec_out", "item2vec_nearest")
PER_PRODUCT: Final = tuple(f"sessions_{name}" for name in ("popularity", "season", "trend", "first", "last"))


def require_sound(artifact: Artifact) -> None:
    """Raises ArtifactRefused, naming the file, for arrays that no compiled code may read."""
    arrays = artifact.arrays
    # What each has splits on: objectives have one column more.
    columns = {"trees": len(FEATURES), OBJECTIVE_TREES: len(FEATURES) + 1}
    forests = [prefix for prefix in columns if Trees.are_in(arrays, prefix)]
    further = [name for name in FURTHER if name in arrays]
    trees = [f"{prefix}_{name}" for prefix in forests for name in Trees._fields]
    for name in (*SESSIONS, *ITEM2VEC, *trees, *further):
        _require_kind(name, arrays)
    problems = (
        _sessions(arrays),
        _vectors(arrays),
        *(_trees(arrays, prefix, columns[prefix]) for prefix in forests),
    )
    for found in problems:
        for name, problem in found:
            raise ArtifactRefused(f"{name}{ARRAY}", problem)


def _require_kind(name: str, arrays: Mapping[str, Array]) -> None:
    if name not in arrays:
        raise ArtifactRefused(f"{name}{ARRAY}", "is missing")
    array = arrays[name]
    dtype = np.dtype(np.float32 if name in FLOATS else np.int32)
    dimensions = 2 if name in TWO_DIMENSIONAL else 1
    if array.dtype != dtype or array.ndim != dimensions or not array.flags.c_contiguous:
        expected = f"expected {dtype} in {dimensions} dimension{'s' * (dimensions - 1)}"
        raise ArtifactRefused(f"{name}{ARRAY}", f"holds {array.dtype} {array.shape}, {expected}")


Problems = Iterator[tuple[str, str]]


def _sessions(arrays: Mapping[str, Array]) -> Problems:
    items, products = arrays["sessions_items"], len(arrays["sessions_support"])
    sessions = len(arrays["sessions_starts"]) - 1
    for name in (*PER_PRODUCT, *(FURTHER & arrays.keys())):
        if len(arrays[name]) != products:
            yield name, f"has {len(arrays[name])} products, sessions_support has {products}"
    for name in FURTHER & arrays.keys():
        if not np.isfinite(arrays[name]).all():
            yield name, "has what is no number"
    if len(arrays["sessions_session_of"]) != len(items):
        yield "sessions_session_of", f"tells of {len(arrays['sessions_session_of'])} of {len(items)} events"
    yield from _not_steps("sessions_starts", arrays, sessions, len(items))
    yield from _not_steps("sessions_place_starts", arrays, products, len(arrays["sessions_places"]))
    yield from _not_within("sessions_items", items, 0, products)
    yield from _not_within("sessions_session_of", arrays["sessions_session_of"], 0, sessions)
    yield from _not_within("sessions_places", arrays["sessions_places"], 0, len(items))


def _vectors(arrays: Mapping[str, Array]) -> Problems:
    vectors_in, products = arrays["item2vec_in"], len(arrays["sessions_support"])
    if vectors_in.shape != arrays["item2vec_out"].shape:
        yield "item2vec_out", f"has the shape {arrays['item2vec_out'].shape}, item2vec_in {vectors_in.shape}"
    for name in ("item2vec_in", "item2vec_nearest"):
        if len(arrays[name]) != products:
            yield name, f"has {len(arrays[name])} products, sessions_support has {products}"
    yield from _not_within("item2vec_nearest", arrays["item2vec_nearest"], 0, products)


def _trees(arrays: Mapping[str, Array], prefix: str, columns: int) -> Problems:
    feature = arrays[f"{prefix}_feature"]
    for name in (f"{prefix}_{field}" for field in Trees._fields[2:]):
        if len(arrays[name]) != len(feature):
            yield name, f"has {len(arrays[name])} nodes, {prefix}_feature has {len(feature)}"
    yield from _not_within(f"{prefix}_roots", arrays[f"{prefix}_roots"], 0, len(feature))
    yield from _not_within(f"{prefix}_feature", feature, -1, columns)
    inner = np.flatnonzero(feature >= 0)
    for name in (f"{prefix}_left", f"{prefix}_right"):
        yield from _not_within(name, arrays[name][inner], 0, len(feature))
        if (arrays[name][inner] <= inner).any():  # so that every way down has an end
            yield name, "leads from a node to one before it"


def _not_steps(name: str, arrays: Mapping[str, Array], count: int, end: int) -> Problems:
    """Unless the array rises from 0 to `end` in `count` steps."""
    steps = arrays[name]
    if len(steps) != count + 1 or not len(steps) or steps[0] != 0 or steps[-1] != end:
        yield name, f"does not lead from 0 to {end} in {count} steps"
    elif (np.diff(steps) < 0).any():
        yield name, "does not rise"


def _not_within(name: str, array: Array, least: int, end: int) -> Problems:
    if array.size and (array.min() < least or array.max() >= end):
        yield name, f"has numbers outside of {least} to {end - 1}"


def load(release: ModelRelease, cache: Path) -> Behaviour:
    """The generation that a release names; its files stay in the folder `cache`. Blocks.

    Raises StoreFailed while the store is away, OSError where the cache has no room, and ArtifactRefused for
    an artifact that is not whole, not the one named, or made for other code.
    """
    artifact = fetch(release.location, release.digest, cache)
    found = artifact.manifest.version
    if found != release.version:
        raise ArtifactRefused(f"{release.location}/{MANIFEST}", f"is {found}, released as {release.version}")
    require_sound(artifact)
    model = Behaviour.of(artifact)
    _try_out(model)
    return model


def _try_out(model: Behaviour) -> None:
    """Asks it once, so that no shopper is the first."""
    views = [
        SessionEvent(0, b"", product_id, KIND_OF["view_item"]) for product_id in model.by_popularity()[:1]
    ]
    rank_products(model, views, Tuning())
