"""An experiment on the topic `experiments` (JSON): variants of weights and models, and who sees which."""

import re
from hashlib import blake2b
from typing import Annotated, Final, Literal

import msgspec

from schemas.events import END, Millis
from schemas.objectives import OBJECTIVE_MAX
from schemas.objectives import check as check_objective
from schemas.unreadable import read

EXPERIMENTS_MAX: Final = 100
MODEL_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
SHARE_DIGITS: Final = 1e-9  # what floats may add up to beyond 1

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}" + END)]
Weight = Annotated[float, msgspec.Meta(ge=-10, le=10)]
Kind = Literal["for_you", "similar", "also_liked", "complement_topic", "complement_type", "search", "popular"]


class Variant(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a share of the visitors gets: weights by kind of row where they differ from the defaults.

    `model` is the name of a line of releases on the topic `models`, None for the one that serves everyone;
    an empty text means no model at all. `objective` is what the order is for, such as buy:0.7,click:0.3.
    """

    name: Name
    share: Annotated[float, msgspec.Meta(ge=0, le=1)]
    weights: dict[Kind, dict[str, Weight]] = {}
    model: str | None = None
    diversity: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    objective: Annotated[str, msgspec.Meta(max_length=OBJECTIVE_MAX)] | None = None


class Experiment(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Visitors are assigned by the hash of their id and the experiment's name: no two depend on each other.

    The first variant is what the others are compared with. Visitors beyond the shares are not part of it. It
    runs from `starts_at` up to, not including, `ends_at`, Unix time in ms.
    """

    name: Name
    variants: Annotated[tuple[Variant, ...], msgspec.Meta(min_length=2, max_length=20)]
    starts_at: Millis | None = None
    ends_at: Millis | None = None
    note: Annotated[str, msgspec.Meta(max_length=1000)] | None = None
    updated_at: Millis = 0

    def runs(self, now: float) -> bool:
        """Whether it runs at `now`, Unix ms."""
        return (self.starts_at is None or self.starts_at <= now) and (
            self.ends_at is None or now < self.ends_at
        )

    def variant_of(self, visitor_id: str) -> Variant | None:
        """The visitor's variant, always the same; None for one who is not part of it."""
        place = place_of(self.name, visitor_id)
        for variant in self.variants:
            if place < variant.share:
                return variant
            place -= variant.share
        return None


def place_of(experiment: str, visitor_id: str) -> float:
    """Where a visitor stands between 0 and 1, evenly spread and independent between experiments."""
    digest = blake2b(f"{experiment}\0{visitor_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def check(experiment: Experiment) -> str | None:
    """Why a well-formed experiment still makes no sense, as a sentence for its sender, or None."""
    names = [variant.name for variant in experiment.variants]
    if len(set(names)) < len(names):
        return "two variants have one name"
    for number, variant in enumerate(experiment.variants):
        # Not a pattern of the field's: msgspec would hold it against the empty text, too.
        if variant.model and not MODEL_NAME.fullmatch(variant.model):
            return f"variants[{number}].model is no name of a line of models, such as behaviour-b"
        if nonsense := check_objective(variant.objective):
            return f"variants[{number}].{nonsense}"
    if sum(variant.share for variant in experiment.variants) > 1 + SHARE_DIGITS:
        return "the shares add up to more than 1"
    if (
        experiment.starts_at is not None
        and experiment.ends_at is not None
        and experiment.ends_at <= experiment.starts_at
    ):
        return "ends_at must come after starts_at"
    return None


_decoder = msgspec.json.Decoder(Experiment)
_encoder = msgspec.json.Encoder()


def decode(raw: bytes) -> Experiment:
    """From the bytes of one topic message. Raises Unreadable."""
    return read(_decoder.decode, raw)


def encode(experiment: Experiment) -> bytes:
    """The bytes of one message on `experiments`."""
    return _encoder.encode(experiment)
