"""Pictures with captions to learn from and to be measured on: drawn products, and CC0 photos of clothes."""

import csv
import io
import random
import zipfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import torch
from PIL import Image

from storefront.demo.catalogue.drawing import Look, draw
from storefront.demo.catalogue.generator import Made, caption, made

DRAWN_SIZE: Final = 128  # then scaled down as at inference, so that the model sees what it will see
HELD_OUT_EVERY: Final = 10  # every tenth photo is never trained on
NO_LABELS: Final = frozenset({"Not sure", "Other", "Skip"})
NOUNS: Final = {
    "T-Shirt": "t-shirt", "Longsleeve": "long sleeve shirt", "Pants": "trousers", "Shoes": "shoes",
    "Shirt": "shirt", "Dress": "dress", "Outwear": "jacket", "Shorts": "shorts", "Hat": "hat",
    "Skirt": "skirt", "Polo": "polo shirt", "Undershirt": "undershirt", "Blazer": "blazer",
    "Hoodie": "hoodie", "Body": "baby bodysuit", "Top": "top", "Blouse": "blouse",
}  # fmt: skip

Preprocess = Callable[[Image.Image], torch.Tensor]


@dataclass(frozen=True)
class Pictures:
    """(n, 3, 64, 64) preprocessed pictures, each with the captions that fit it."""

    pixels: torch.Tensor
    captions: list[list[str]]


def drawn(count: int, seed: int, preprocess: Preprocess) -> tuple[Pictures, list[Look]]:
    """Products of a catalogue of this seed, and their looks."""
    products = list(made(count, seed))
    looks = [each.look for each in products]
    with ProcessPoolExecutor(2) as pool:
        images = list(pool.map(partial(_draw, seed), enumerate(looks), chunksize=32))
    pixels = torch.stack([preprocess(image) for image in images])
    captions = [_captions(each) for each in products]
    return Pictures(pixels, captions), looks


def _captions(made: Made) -> list[str]:
    """What people may call it: all that is visible, or only some of it."""
    look = made.look
    return [
        caption(look),
        made.product.name,
        f"{made.product.top_category} {caption(look)}",
        f"a {look.colour} {look.shape}",
        f"{look.pattern} {look.shape}",
        look.shape,
    ]


def _draw(seed: int, numbered: tuple[int, Look]) -> Image.Image:
    number, look = numbered
    return draw(look, DRAWN_SIZE, random.Random(f"{seed}:{number}"))


def photos(path: Path, preprocess: Preprocess) -> tuple[Pictures, Pictures, list[str]]:
    """The CC0 photos to train on, those held out, and the noun of each held-out one."""
    train: list[tuple[torch.Tensor, str]] = []
    held_out: list[tuple[torch.Tensor, str]] = []
    with zipfile.ZipFile(path) as archive:
        rows = csv.DictReader(io.TextIOWrapper(archive.open("products.csv"), "utf-8"))
        known = [row for row in rows if row["label"] not in NO_LABELS]
        for number, row in enumerate(known):
            image = Image.open(archive.open(row["file"])).convert("RGB")
            into = held_out if number % HELD_OUT_EVERY == 0 else train
            into.append((preprocess(image), NOUNS.get(row["label"], row["label"].lower())))
    return _photos(train), _photos(held_out), [noun for _, noun in held_out]


def photo_caption(noun: str) -> str:
    """What a photo's label is as a caption."""
    return f"a photo of a {noun}"


def _photos(found: list[tuple[torch.Tensor, str]]) -> Pictures:
    return Pictures(
        torch.stack([pixels for pixels, _ in found]), [[photo_caption(noun)] for _, noun in found]
    )
