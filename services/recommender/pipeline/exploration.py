"""Chance has a small share in a row, and every probability is known. Pure: the seed comes from outside.

From what the model puts first nobody can learn what would have come of another order: places that are looked
at more are clicked more, and products that are never shown never. So below the third place products change
places now and then, with each other and with the next ones below the row's end. The N places of all these are
paired at random, and each pair swaps with one probability. That is symmetric, so probabilities are exact: for
a share e

- a place shows its own product with 1 − e,
- and each of the N − 1 others with e / (N − 1).

Clicks divided by their product's propensity, summed up over a place, then estimate how much the place is
looked at, times how much all N products please; and the latter is the same for all places (Horvitz and
Thompson, 1952; Joachims, Swaminathan and Schnabel, WSDM 2017).
"""

import random
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple, TypeVar

T = TypeVar("T")

UNTOUCHED: Final = 3  # places of a row that are the model's alone: they bring most, and cost most
SPARE: Final = 4  # products below the row's end that take part
SHARE_MAX: Final = 0.1


class Arrangement(NamedTuple):
    """Which of the ranked products stands at each place of a row, and how likely that was; both (k,).

    None where chance had no say.
    """

    order: list[int]
    propensities: list[float | None]


def arrange(is_free: Sequence[bool], k: int, share: float, seed: bytes) -> Arrangement:
    """A row of k of ranked products, of which `is_free` tells whether chance may move them.

    Those beyond the k-th take part, too. The same seed makes the same row of the same arguments; what a seed
    is made of must not depend on what is in the row.
    """
    order = list(range(len(is_free)))
    propensities: list[float | None] = [None] * len(is_free)
    slots = [slot for slot in order if slot >= UNTOUCHED and is_free[slot]]
    if share > 0 and len(slots) > 1:
        moved = share / (len(slots) - 1)
        for one, other in _pairs(slots, moved, seed):
            order[one], order[other] = other, one
        for slot in slots:
            propensities[slot] = 1 - share if order[slot] == slot else moved
    return Arrangement(order[:k], propensities[:k])


def _pairs(slots: list[int], moved: float, seed: bytes) -> list[tuple[int, int]]:
    """Slots that swap, each with any other with the probability `moved`; as a rule none.

    An odd one is left over in each pairing: a slot has a partner less often, so pairs swap more often.
    """
    count = len(slots) // 2
    swaps = moved * (len(slots) - 1 + len(slots) % 2)
    digest = blake2b(seed, digest_size=16).digest()
    # Most rows stay as they are: one number tells. What follows is drawn given that some pair swaps.
    if int.from_bytes(digest[:8]) / 2**64 < (1 - swaps) ** count:
        return []
    rng = random.Random(digest[8:])
    while not any(does := [rng.random() < swaps for _ in range(count)]):
        pass
    shuffled = rng.sample(slots, 2 * count)
    pairs = zip(shuffled[::2], shuffled[1::2], strict=True)
    return [pair for pair, swapped in zip(pairs, does, strict=True) if swapped]


class Chance:
    """What chance does to one row of k, and what is to be recorded of it."""

    def __init__(self, share: float, seed: bytes) -> None:
        self._share = share
        self._seed = seed
        self.propensities: dict[str, float] = {}  # by product, of those that chance had a say about
        self.moved = 0

    @property
    def spare(self) -> int:
        """How many products below the row's end it wants to know of."""
        return SPARE if self._share else 0

    def arrange(
        self, ranked: Sequence[T], k: int, name: Callable[[T], str], is_free: Callable[[T], bool]
    ) -> list[T]:
        """The row of these ranked products."""
        if not self._share:
            return list(ranked[:k])
        order, propensities = arrange([is_free(each) for each in ranked], k, self._share, self._seed)
        row = [ranked[rank] for rank in order]
        for place, (rank, each, propensity) in enumerate(zip(order, row, propensities, strict=True)):
            self.moved += rank != place
            if propensity is not None:
                self.propensities[name(each)] = propensity
        return row


NO_CHANCE: Final = Chance(0.0, b"")


def seed(visitor_id: str, slot: str, newest_event: bytes) -> bytes:
    """Drawn anew with whatever a visitor does, and not before: rows that are made again stay as they are.

    An event's id tells nothing of what its row will hold, as a seed must not.
    """
    return b"\0".join((visitor_id.encode(), slot.encode(), newest_event))
