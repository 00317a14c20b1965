"""The two models as the embedder sees them, and how their settings are read."""

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from schemas.vectors import Vector

Pixels = npt.NDArray[np.float32]  # (3, height, width), as the picture model wants them

ROOT: Final = Path(__file__).resolve().parents[3]
WEIGHTS: Final = (".safetensors", ".bin", ".pt")
CHUNK: Final = 1 << 20


class ModelUnavailable(Exception):
    """A configured model cannot be loaded; the text names the setting and says why."""


class WidthMismatch(Exception):
    """A model's vectors have another width than the settings say."""

    def __init__(self, model: str, setting: str, found: int, expected: int) -> None:
        super().__init__(
            f"{model} makes vectors of {found} components, but {setting} is {expected}. Set "
            f"{setting}={found} for every service."
        )


class TextModel(Protocol):
    """Turns what a product says into vectors. May be called from several threads."""

    identity: str
    width: int

    def encode(self, texts: Sequence[str]) -> Vector:
        """(n, width) unit vectors."""


class PictureModel(Protocol):
    """Turns pictures, and captions of pictures, into vectors of one space, from several threads."""

    identity: str
    width: int
    edge: int  # pixels of the square it looks at

    def prepare(self, picture: Image.Image) -> Pixels:
        """A picture as the model wants it."""

    def encode_pictures(self, pictures: Sequence[Pixels]) -> Vector:
        """(n, width) unit vectors."""

    def encode_captions(self, captions: Sequence[str]) -> Vector:
        """(n, width) unit vectors."""


def folder_of(model: str) -> Path | None:
    """The folder that a model's setting names, by itself or from the repository's root; None for a name."""
    for path in (Path(model), ROOT / model):
        if path.is_dir():
            return path.resolve()
    return None


def digest(folder: Path) -> str:
    """12 hex digits that name the weights and configuration in a folder, wherever it lies."""
    found = blake2b(digest_size=6)
    for path in sorted(folder.iterdir()):
        if path.suffix in WEIGHTS or path.name.endswith("config.json"):
            found.update(path.name.encode())
            with path.open("rb") as file:
                while chunk := file.read(CHUNK):
                    found.update(chunk)
    return found.hexdigest()


def check_width(model: str, setting: str, found: int, expected: int) -> None:
    """Raises WidthMismatch unless the model and the setting agree."""
    if found != expected:
        raise WidthMismatch(model, setting, found, expected)
