"""Trains the model with open_clip's own loss, for as long as it is given."""

import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import open_clip
import torch
from open_clip.loss import ClipLoss

from storefront.demo.model.pictures import Pictures

BATCH: Final = 128
LEARNING_RATE: Final = 1.5e-3
WARM_UP: Final = 0.04  # of the whole time


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the training is: share of its time, pictures seen, the running loss."""

    share: float
    pictures: int
    loss: float


def train(
    model: open_clip.CLIP, pictures: Pictures, seconds: float, on_step: Callable[[Progress], object]
) -> int:
    """Trains in place and returns how many pictures were seen."""
    tokenizer = open_clip.SimpleTokenizer(context_length=model.context_length)
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.05, betas=(0.9, 0.98))
    loss_of = ClipLoss()
    rng = random.Random(1)
    started, seen, running = time.monotonic(), 0, 0.0
    model.train()
    for batch in _batches(len(pictures.captions), rng):
        share = (time.monotonic() - started) / seconds
        if share >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * _schedule(share)
        words = tokenizer([rng.choice(pictures.captions[index]) for index in batch])
        image, text, scale = model(_augmented(pictures.pixels[batch]), words)
        loss = loss_of(image, text, scale)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))  # as in CLIP, section 2.5
        seen += len(batch)
        running = loss.item() if seen == len(batch) else 0.98 * running + 0.02 * loss.item()
        on_step(Progress(share, seen, running))
    model.eval()
    return seen


def _batches(count: int, rng: random.Random) -> Iterator[list[int]]:
    """Shuffled batches for ever."""
    order = list(range(count))
    while True:
        rng.shuffle(order)
        yield from (order[at : at + BATCH] for at in range(0, count - BATCH + 1, BATCH))


def _schedule(share: float) -> float:
    """Linear warm-up, then half a cosine down to zero."""
    return share / WARM_UP if share < WARM_UP else 0.5 * (1 + math.cos(math.pi * share))


def _augmented(pixels: torch.Tensor) -> torch.Tensor:
    """Mirrored, shifted and lit a little differently every time."""
    if random.random() < 0.5:
        pixels = pixels.flip(-1)
    shifted = torch.roll(pixels, (random.randint(-4, 4), random.randint(-4, 4)), (-2, -1))
    return shifted * (1 + 0.1 * torch.randn(len(pixels), 1, 1, 1)) + 0.1 * torch.randn(len(pixels), 3, 1, 1)
