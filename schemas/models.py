"""Models on their way: an artifact's manifest, and the release of a version on the topic `models` (JSON)."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec

from schemas.events import END, Millis, Name
from schemas.unreadable import read

# Sorts by time: 20241124T115504Z-3f9a.
VERSION: Final = r"^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4,16}" + END
Version = Annotated[str, msgspec.Meta(pattern=VERSION)]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}" + END)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """How well a model tells the next product over `cases` held-out cases; each ranks all its products.

    `hr_20` is the share of cases whose target is among the first 20, `mrr_20` the mean of 1/rank there (else
    0). `coverage` is the share of the products that are among anybody's first 20; `popularity_bias`
    the mean popularity rank of what is recommended, 1 for the most popular and 0 for the least.
    """

    hr_20: Share = msgspec.field(name="HR@20")
    mrr_20: Share = msgspec.field(name="MRR@20")
    coverage: Share
    popularity_bias: Share
    cases: Count
    predictions_per_s: float


class DataRange(msgspec.Struct, frozen=True):
    """What was learned from, by the events' own time, Unix ms, both ends included; 0 and 0 for nothing."""

    since: Millis
    until: Millis


class File(msgspec.Struct, frozen=True):
    """One file of an artifact."""

    sha256: Sha256
    bytes: Count


class Compared(msgspec.Struct, frozen=True):
    """The model that was released when a new one was measured, on the new one's cases.

    `metrics` is None where it could not be measured; `reason` says why.
    """

    version: Version
    metrics: Metrics | None = None
    reason: str | None = None


class ObjectiveMetrics(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a model's order for an objective does where the order for clicks might do as well.

    `lessons` were learned from. `cases` are held-out beginnings of sessions after which something was put
    into the cart, or bought. `hr_20` tells how often it is among the first 20, `mrr_20` how early, in the
    objective's own order; `clicks_hr_20` and `clicks_mrr_20` in that for clicks. `reason` is why the model
    has no order of its own for it: then clicks' serves.
    """

    lessons: Count = 0
    cases: Count = 0
    hr_20: Share | None = msgspec.field(name="HR@20", default=None)
    mrr_20: Share | None = msgspec.field(name="MRR@20", default=None)
    clicks_hr_20: Share | None = msgspec.field(name="clicks' HR@20", default=None)
    clicks_mrr_20: Share | None = msgspec.field(name="clicks' MRR@20", default=None)
    reason: str | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an artifact is: `manifest.json` in its folder. The digest of a version is this file's sha256.

    `files` names every other file of the folder. `metrics`, `popularity` (always the 20 most popular) and
    `released` were measured on the same held-out cases, and the gate decides by them. `objectives` are those
    beside clicks.
    """

    version: Version
    created_at: Millis
    data: DataRange
    counts: Mapping[str, Count]
    parameters: Mapping[str, Any]
    metrics: Metrics | None = None
    popularity: Metrics | None = None
    released: Compared | None = None
    objectives: Mapping[str, ObjectiveMetrics] = {}
    files: Mapping[str, File] = {}


class Gate(msgspec.Struct, frozen=True):
    """Why a version may serve: it passed, somebody forced it, or somebody went back to it."""

    outcome: Literal["passed", "forced", "rolled_back"]
    reasons: tuple[str, ...] = ()


class Released(msgspec.Struct, frozen=True):
    """One version, and where its folder is: an fsspec URL such as s3://bucket/models/behaviour/VERSION."""

    version: Version
    location: Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]
    digest: Sha256


class ModelRelease(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The version of a model that all services are to serve from now on; keyed by the model's name.

    `previous` is what served before, and what a rollback goes back to.
    """

    name: Name
    version: Version
    location: Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]
    digest: Sha256
    released_at: Millis
    gate: Gate
    metrics: Metrics | None = None
    previous: Released | None = None

    @property
    def released(self) -> Released:
        """This release's version as the next one remembers it."""
        return Released(self.version, self.location, self.digest)


_decoder = msgspec.json.Decoder(ModelRelease)
_manifest_decoder = msgspec.json.Decoder(Manifest)
_encoder = msgspec.json.Encoder(order="deterministic")


def decode(raw: bytes) -> ModelRelease:
    """From the bytes of one message on `models`. Raises Unreadable."""
    return read(_decoder.decode, raw)


def encode(release: ModelRelease) -> bytes:
    """The bytes of one message on `models`."""
    return _encoder.encode(release)


def decode_manifest(raw: bytes) -> Manifest:
    """From the bytes of a manifest.json. Raises Unreadable."""
    return read(_manifest_decoder.decode, raw)


def encode_manifest(manifest: Manifest) -> bytes:
    """The bytes of manifest.json; equal manifests give equal bytes."""
    return msgspec.json.format(_encoder.encode(manifest), indent=2) + b"\n"
