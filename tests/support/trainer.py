"""The trainer's commands as processes, with a store and a folder of their own."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from schemas import models
from schemas.models import Compared, DataRange, Manifest, Metrics, ModelRelease
from schemas.topics import MODELS
from services.model import artifact
from services.model.store import ModelStore
from services.settings import ServiceSettings
from tests.support.kafka import read_topic
from tests.support.launcher import ModuleProcess, start_module

NAME = "behaviour"


def metrics(hr: float) -> Metrics:
    return Metrics(
        hr_20=hr, mrr_20=hr / 2, coverage=0.5, popularity_bias=0.5, cases=1_000, predictions_per_s=1_000
    )


@dataclass(frozen=True)
class Trainer:
    """`python -m services.trainer` with a broker, a store and a folder for its work."""

    settings: ServiceSettings
    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "store" / self.settings.topic_prefix

    @property
    def datadir(self) -> Path:
        return self.folder / "work"

    def start(self, *arguments: str) -> ModuleProcess:
        """The running process."""
        variables = os.environ | {
            "EDDY_KAFKA_BOOTSTRAP": self.settings.kafka_bootstrap,
            "EDDY_TOPIC_PREFIX": self.settings.topic_prefix,
            "EDDY_MODEL_STORE": str(self.store.parent),
            "EDDY_TRAINER_DATADIR": str(self.datadir),
        }
        return start_module("services.trainer", *arguments, environment=variables)

    def __call__(self, *arguments: str) -> tuple[int, str]:
        """Status, and all that was printed."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=60)
        return process.returncode, out + err

    def add(self, version: str, hr: float, compared: Compared | None = None) -> Path:
        """Puts a version into the store that was measured so; returns its folder there."""
        manifest = Manifest(
            version=version,
            created_at=1,
            data=DataRange(0, 1),
            counts={},
            parameters={},
            metrics=metrics(hr),
            popularity=metrics(0.05),
            released=compared,
        )
        made = self.folder / f"made {version}"
        artifact.write(made, {"vectors": np.zeros((10, 3))}, {"items.json": "[]"}, manifest)
        ModelStore(str(self.store), NAME).upload(made, version)
        return self.store / NAME / version

    def read_releases(self) -> list[ModelRelease]:
        """All releases, the oldest first."""
        found = read_topic(self.settings, MODELS)
        assert all(message.key() == NAME.encode() for message in found)
        return [models.decode(message.value() or b"") for message in found]
