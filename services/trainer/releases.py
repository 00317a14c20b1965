"""A release that the gate has judged."""

from schemas.models import Gate, Metrics, ModelRelease, Released
from services.model.releases import ReleaseRefused
from services.trainer.gate import Verdict


class GateIsAgainst(ReleaseRefused):
    """The gate says no; the text holds its reasons."""


def following(
    former: ModelRelease | None,
    name: str,
    version: Released,
    metrics: Metrics | None,
    *,
    verdict: Verdict,
    at: int,
) -> ModelRelease:
    """The release of a version after `former`; `at` is Unix ms. With a verdict against it, it was forced."""
    return ModelRelease(
        name=name,
        version=version.version,
        location=version.location,
        digest=version.digest,
        released_at=at,
        gate=Gate("passed" if verdict.passed else "forced", verdict.reasons),
        metrics=metrics,
        previous=former.released if former else None,
    )
