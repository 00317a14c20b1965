"""How soon a product of a type is wanted again after one was bought, learned from repeat purchases. Pure.

Few who bought a lamp buy another one; most who bought coffee do, when it is used up. Both are told by two
figures of a type: the share of its buyers that bought it again, and the median time until they did (the
"repeat customer probability" and the "aggregate time distribution" of Bhagat et al., Buy It Again, KDD 2018;
times between purchases are log-normal there, too).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import erf, exp2, log, sqrt
from typing import Final, Self

import msgspec

from schemas.times import DAY_MS
from services.model.artifact import Artifact, ArtifactRefused

REPEATS: Final = "repeat.json"
FLOOR: Final = 0.02  # of a score right after the purchase: low, but still above nothing
HALF_LIFE_DAYS: Final = 21.0  # a durable's damping halves in so long: three weeks
CONSUMABLE_RATE: Final = 0.3  # where so many buy again, the interval alone tells; below, both by their parts
SPREAD: Final = 0.5  # standard deviation of the logarithm of intervals: 95 % lie within a factor of 2.7
DUE_INTERVALS: Final = 3.0  # who has not bought again by then does without


class Repeat(msgspec.Struct, frozen=True):
    """Of a type: which share of its buyers bought it again, 0 to 1, and after how many days, the median.

    `buyers` are those that it was learned from, 0 for a default.
    """

    rate: float
    interval_days: float
    buyers: int = 0


DEFAULT: Final = Repeat(0.05, 30.0)  # before anything is learned, what is bought is bought once in a while


@dataclass(frozen=True, slots=True)
class Repeats:
    """What is known, by type and, where a type has too few buyers, by top-level category."""

    types: Mapping[str, Repeat] = field(default_factory=dict)
    categories: Mapping[str, Repeat] = field(default_factory=dict)
    default: Repeat = DEFAULT

    def of(self, type_: str | None, category: str | None = None) -> Repeat:
        """A type's, else that of its top-level category, else the default."""
        found = self.types.get(type_) if type_ else None
        found = found or (self.categories.get(category) if category else None)
        return found or self.default

    @classmethod
    def read(cls, artifact: Artifact) -> Self:
        """Of a model; defaults for one that was made before there were any. Raises ArtifactRefused."""
        text = artifact.texts.get(REPEATS)
        if text is None:
            return cls()
        try:
            found = msgspec.json.decode(text, type=_File)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise ArtifactRefused(REPEATS, f"does not tell repeat purchases: {error}") from None
        for name, each in {**found.types, **found.categories, "": found.default}.items():
            if not (0 <= each.rate <= 1 and each.interval_days > 0):
                raise ArtifactRefused(REPEATS, f"{name or 'default'}: no share of buyers, or no interval")
        return cls(found.types, found.categories, found.default)

    def text(self) -> str:
        """For an artifact."""
        found = _File(dict(self.types), dict(self.categories), self.default)
        return msgspec.json.encode(found, order="deterministic").decode()


class _File(msgspec.Struct, frozen=True):
    types: dict[str, Repeat]
    categories: dict[str, Repeat]
    default: Repeat


def damping(
    type_: str | None, bought_at: float, now: float, repeats: Repeats, category: str | None = None
) -> float:
    """What scores of products of a type are multiplied by, FLOOR to 1, after one was bought.

    Both times are Unix ms; `category` is the top-level one. A durable's damping halves every 21 days:
    1 − 2^(−days/21). A consumable's factor is the share of those who buy again that have done so by now, of
    those that have by the median: it is 1 from then on. A type is as much of a consumable as its rate
    is of CONSUMABLE_RATE. Rises with `now`; a purchase that lies ahead counts as one of this moment.
    """
    repeat, days = repeats.of(type_, category), max(now - bought_at, 0.0) / DAY_MS
    durable = 1 - exp2(-days / HALF_LIFE_DAYS)
    consumable = min(1.0, 2 * _share_back(days / repeat.interval_days))
    part = min(1.0, repeat.rate / CONSUMABLE_RATE)
    return FLOOR + (1 - FLOOR) * ((1 - part) * durable + part * consumable)


def is_due(
    type_: str | None, bought_at: float, now: float, repeats: Repeats, category: str | None = None
) -> bool:
    """Whether what was bought is used up by now: a consumable whose median interval is over, up to thrice."""
    repeat = repeats.of(type_, category)
    intervals = (now - bought_at) / DAY_MS / repeat.interval_days
    return repeat.rate >= CONSUMABLE_RATE and 1 <= intervals <= DUE_INTERVALS


def _share_back(intervals: float) -> float:
    """Of those who buy again, how many have after so many median intervals: the log-normal distribution."""
    return 0.5 * (1 + erf(log(intervals) / (SPREAD * sqrt(2)))) if intervals > 0 else 0.0
