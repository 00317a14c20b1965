"""Models to measure: through the files that services load, and with parts of them taken away."""

from dataclasses import replace
from pathlib import Path

from schemas.models import DataRange, Manifest
from schemas.objectives import CLICK, Objective
from services.model import artifact
from services.model.artifact import Artifact
from services.model.behaviour import Behaviour
from services.model.candidates import ITEM2VEC, KNN
from services.model.session_index import Floats
from services.trainer.training import TrainedModel

VERSION = "20000101T000000Z-0000"  # nobody releases it


def store(trained: TrainedModel, folder: Path) -> Artifact:
    """A model as services get it; its arrays are mapped from `folder`, which must outlive it."""
    manifest = Manifest(
        version=VERSION, created_at=0, data=DataRange(0, 0), counts={}, parameters=trained.parameters
    )
    return artifact.load(folder, artifact.write(folder, trained.arrays, trained.texts, manifest))


def without_trees(model: Artifact) -> Artifact:
    """The same model, which fuses ranks."""
    arrays = {name: array for name, array in model.arrays.items() if not name.startswith("trees_")}
    return replace(model, arrays=arrays)


class ByKnn(Behaviour):
    """Orders the candidates by session-kNN alone."""

    def scores(self, features: Floats, objective: Objective = CLICK) -> Floats:
        """(n,) the neighbours' votes."""
        return features[:, KNN]


class ByItem2Vec(Behaviour):
    """Orders the candidates by item2vec alone."""

    def scores(self, features: Floats, objective: Objective = CLICK) -> Floats:
        """(n,) IN · OUT."""
        return features[:, ITEM2VEC]
