"""How well words find pictures, on products and photos that the model was not trained on."""

from collections.abc import Callable, Sequence

import open_clip
import torch

from storefront.demo.catalogue.drawing import Look
from storefront.demo.catalogue.generator import caption
from storefront.demo.model.pictures import Pictures, photo_caption

Metrics = dict[str, float]


@torch.inference_mode()
def picture_vectors(model: open_clip.CLIP, pixels: torch.Tensor) -> torch.Tensor:
    """(n, width) unit vectors."""
    return torch.cat([model.encode_image(part, normalize=True) for part in torch.split(pixels, 256)])


@torch.inference_mode()
def word_vectors(model: open_clip.CLIP, texts: Sequence[str]) -> torch.Tensor:
    """(n, width) unit vectors."""
    tokenizer = open_clip.SimpleTokenizer(context_length=model.context_length)
    vectors: torch.Tensor = model.encode_text(tokenizer(list(texts)), normalize=True)
    return vectors


def retrieval(model: open_clip.CLIP, pictures: Pictures, looks: Sequence[Look]) -> Metrics:
    """Caption → picture among all candidates. A hit shows what the caption says; several may."""
    pixels = picture_vectors(model, pictures.pixels)
    exact = sorted({caption(look) for look in looks})
    ranked = _ranked(model, exact, pixels)
    fits = [[caption(look) == text for look in looks] for text in exact]
    metrics = {f"recall@{k}": _hit_share(ranked, fits, k) for k in (1, 5, 10)}
    metrics["recall@10 by chance"] = _by_chance(fits, 10)
    attributes: dict[str, Callable[[Look], str]] = {
        "type": lambda look: look.shape,
        "colour": lambda look: look.colour,
        "pattern": lambda look: look.pattern,
    }
    for name, attribute in attributes.items():
        named = [
            [attribute(look) == attribute(wanted) for look in looks] for wanted in _one_each(looks, exact)
        ]
        metrics[f"precision@10 {name}"] = _precision(ranked, named, 10)
        metrics[f"precision@10 {name} by chance"] = sum(map(sum, named)) / (len(named) * len(looks))
    return {"candidates": float(len(looks)), "captions": float(len(exact))} | metrics


def zero_shot(model: open_clip.CLIP, pictures: Pictures, nouns: Sequence[str]) -> Metrics:
    """Share of photos whose nearest label caption is the right one."""
    labels = sorted(set(nouns))
    words = word_vectors(model, [photo_caption(label) for label in labels])
    nearest = (picture_vectors(model, pictures.pixels) @ words.T).argmax(dim=1).tolist()
    right = sum(labels[guess] == noun for guess, noun in zip(nearest, nouns, strict=True))
    most_frequent = max(nouns.count(label) for label in labels)
    return {
        "photos": float(len(nouns)),
        "label accuracy": right / len(nouns),
        "label accuracy by chance": 1 / len(labels),
        "label accuracy of the most frequent": most_frequent / len(nouns),
    }


def _one_each(looks: Sequence[Look], captions: Sequence[str]) -> list[Look]:
    by_caption = {caption(look): look for look in looks}
    return [by_caption[text] for text in captions]


def _ranked(model: open_clip.CLIP, texts: Sequence[str], pixels: torch.Tensor) -> list[list[int]]:
    order = (word_vectors(model, texts) @ pixels.T).argsort(dim=1, descending=True)
    ranked: list[list[int]] = order[:, :10].tolist()
    return ranked


def _hit_share(ranked: list[list[int]], fits: list[list[bool]], k: int) -> float:
    return sum(any(fit[i] for i in row[:k]) for row, fit in zip(ranked, fits, strict=True)) / len(fits)


def _by_chance(fits: list[list[bool]], k: int) -> float:
    return sum(1 - (1 - sum(fit) / len(fit)) ** k for fit in fits) / len(fits)


def _precision(ranked: list[list[int]], fits: list[list[bool]], k: int) -> float:
    return sum(sum(fit[i] for i in row[:k]) for row, fit in zip(ranked, fits, strict=True)) / (k * len(fits))
