"""item2vec by gensim: skip-gram with negative sampling over sessions."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from gensim.models import Word2Vec
from gensim.models.callbacks import CallbackAny2Vec

from services.model.session_index import Floats
from services.progress import Progress
from services.trainer.sessions import Histories

# Of a large corpus each pair of products is met often enough in fewer epochs: so many events are read in all.
EVENTS_READ: Final = 60_000_000
EPOCHS_MIN: Final = 3


@dataclass(frozen=True, slots=True)
class SkipGram:
    """gensim's parameters; a window of 20 is nearly always the whole session.

    Rare products are drawn as negatives more often than by gensim's default of 0.75 (Caselles-Dupré et al.,
    RecSys 2018, found that such settings decide whether item2vec is any good).
    """

    width: int = 100
    window: int = 20
    epochs: int = 30
    negative: int = 10
    ns_exponent: float = 0.5
    alpha: float = 0.05
    seed: int = 1

    def epochs_for(self, events: int) -> int:
        """How often a corpus of so many events is read: `epochs` times up to 2,000,000, then less."""
        return min(self.epochs, max(EPOCHS_MIN, round(EVENTS_READ / max(events, 1))))


def vectors(
    histories: Histories, parameters: SkipGram, *, threads: int, progress: Progress
) -> tuple[Floats, Floats]:
    """IN and OUT vectors, each (products, width) float32; zeros for products that no other stands with."""
    sentences = list(_sentences(histories))
    found = tuple(np.zeros((len(histories.products), parameters.width), np.float32) for _ in range(2))
    epochs = parameters.epochs_for(len(histories.items))
    progress.stage("item2vec", epochs)
    if not sentences:
        return found[0], found[1]
    model = Word2Vec(
        sentences,
        sg=1,
        min_count=1,
        sample=0,
        vector_size=parameters.width,
        window=parameters.window,
        epochs=epochs,
        negative=parameters.negative,
        ns_exponent=parameters.ns_exponent,
        alpha=parameters.alpha,
        seed=parameters.seed,
        workers=threads,
        callbacks=[_EpochProgress(progress)],
    )
    numbers = [int(word) for word in model.wv.index_to_key]
    for into, learned in zip(found, (model.wv.vectors, model.syn1neg), strict=True):
        into[numbers] = learned
    return found[0], found[1]


def _sentences(histories: Histories) -> Iterator[list[str]]:
    """Product numbers as words, for gensim takes whole numbers for places in its own list."""
    words = [str(number) for number in range(len(histories.products))]
    starts = histories.starts.tolist()
    items = histories.items.tolist()
    for begin, end in pairwise(starts):
        if end - begin > 1:
            yield [words[item] for item in items[begin:end]]


class _EpochProgress(CallbackAny2Vec):  # type: ignore[misc]  # gensim has no types
    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def on_epoch_end(self, _model: Word2Vec) -> None:
        self._progress.advance()
