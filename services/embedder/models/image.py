"""The picture model: open_clip. Import it only to load one: torch takes seconds."""

import logging
from collections.abc import Sequence
from typing import Final

import numpy as np
import open_clip
import torch
from PIL import Image

from schemas.vectors import Vector
from services.embedder.models.device import CPU, Device
from services.embedder.models.port import ModelUnavailable, Pixels, digest, folder_of

HUB: Final = "hf-hub:"


class ClipModel:
    """An OpenCLIP model with its own preprocessing and tokenizer."""

    def __init__(self, name: str, device: Device = CPU) -> None:
        """Loads a folder, `hf-hub:…`, or an architecture and its weights (`ViT-B-32/laion2b_s34b_b79k`).

        Raises ModelUnavailable.
        """
        folder = None if name.startswith(HUB) else folder_of(name)
        architecture, _, weights = ("", "", "") if folder else name.partition("/")
        if folder:
            architecture = f"local-dir:{folder}"
        elif name.startswith(HUB):
            architecture, weights = name, ""
        elif not weights:
            raise ModelUnavailable(
                f"EDDY_IMAGE_MODEL={name} is neither a folder nor hf-hub:… nor architecture/weights"
            )
        self._device = device.name
        self._pixels = torch.float16 if device.is_half else torch.float32
        logging.disable(logging.INFO)  # open_clip tells every step on the root logger
        try:
            self._model, _, self._preprocess = open_clip.create_model_and_transforms(
                architecture,
                weights or None,
                precision="pure_fp16" if device.is_half else "fp32",
                device=self._device,
            )
            self._tokenize = open_clip.get_tokenizer(architecture)
        except (OSError, RuntimeError, ValueError) as error:
            raise ModelUnavailable(f"EDDY_IMAGE_MODEL={name} cannot be loaded: {error}") from error
        finally:
            logging.disable(logging.NOTSET)
        self._model.eval()
        self.identity = f"folder@{digest(folder)}" if folder else name
        size = self._model.visual.image_size
        self.edge = int(size[0] if isinstance(size, tuple) else size)
        self.width = int(self.encode_captions(["width"]).shape[1])

    def prepare(self, picture: Image.Image) -> Pixels:
        """A picture as the model wants it, (3, edge, edge)."""
        pixels: Pixels = self._preprocess(picture).numpy()
        return pixels

    def encode_pictures(self, pictures: Sequence[Pixels]) -> Vector:
        """(n, width) unit vectors."""
        with torch.inference_mode():
            pixels = torch.from_numpy(np.stack(pictures)).to(self._device, self._pixels)
            return _numpy(self._model.encode_image(pixels, normalize=True))

    def encode_captions(self, captions: Sequence[str]) -> Vector:
        """(n, width) unit vectors."""
        with torch.inference_mode():
            return _numpy(
                self._model.encode_text(self._tokenize(list(captions)).to(self._device), normalize=True)
            )


def _numpy(vectors: torch.Tensor) -> Vector:
    result: Vector = vectors.float().cpu().numpy()
    return result
