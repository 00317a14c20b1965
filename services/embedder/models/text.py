"""The text model: sentence-transformers. Import it only to load one: torch and transformers take seconds."""

import importlib.util
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from sentence_transformers import SentenceTransformer
from transformers.utils import logging as transformers_logging

from schemas.vectors import Vector
from services.embedder.models.device import CPU, Device
from services.embedder.models.port import ModelUnavailable, digest, folder_of

PACKAGE: Final = "package:"
MODEL_BATCH: Final = (
    32  # texts of like length in one forward pass; on CPU larger ones pad more than they gain
)


class SharedTransformer(SentenceTransformer):
    """A SentenceTransformer for several threads: they take turns at the tokenizer, a small part of the work.

    It sets padding and truncation at a call, and must not while another thread is in it ("Already borrowed",
    transformers issue 47085).
    """

    def __init__(self, name: str, device: str) -> None:
        self._turn = threading.Lock()
        super().__init__(name, device=device)

    def preprocess(
        self, inputs: Sequence[Any], prompt: str | None = None, **options: object
    ) -> dict[str, Any]:
        """Texts into tokens."""
        with self._turn:
            tokens: dict[str, Any] = super().preprocess(inputs, prompt, **options)
            return tokens


class SentenceModel:
    """A text model on the processor or a GPU."""

    def __init__(self, name: str, device: Device = CPU) -> None:
        """Loads `package:` and a package's name, a folder, or a name on the hub. Raises ModelUnavailable."""
        folder = _in_package(name.removeprefix(PACKAGE)) if name.startswith(PACKAGE) else folder_of(name)
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        try:
            self._model = SharedTransformer(str(folder or name), device.name)
        except (OSError, ValueError) as error:
            raise ModelUnavailable(f"EDDY_TEXT_MODEL={name} cannot be loaded: {error}") from error
        if device.is_half:
            self._model.half()
        self.identity = f"folder@{digest(folder)}" if folder else name
        self.width = int(self.encode(["width"]).shape[1])

    def encode(self, texts: Sequence[str]) -> Vector:
        """(n, width) unit vectors."""
        vectors = self._model.encode(
            list(texts), batch_size=MODEL_BATCH, show_progress_bar=False, normalize_embeddings=True
        )
        found: Vector = vectors.astype(np.float32, copy=False)
        return found


def _in_package(package: str) -> Path:
    """The `model` folder that a package carries, found without importing it."""
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (Path(place) / "model").is_dir():
            return Path(place) / "model"
    raise ModelUnavailable(f"EDDY_TEXT_MODEL=package:{package}: no such package with a folder `model`")
