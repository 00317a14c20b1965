"""Releasing, put together: store → gate → every byte verified → topic `models`; and the way back."""

import asyncio

from schemas.models import Gate, Manifest, Metrics, ModelRelease, Released
from services.clock import now_ms
from services.errors import CheckFailed
from services.model import releases, store
from services.model.releases import ReleaseRefused
from services.model.store import ModelStore
from services.trainer import gate
from services.trainer.gate import Verdict
from services.trainer.settings import TrainerSettings


class GateIsAgainst(CheckFailed):
    """The gate says no; the text holds its reasons."""


def build_release(
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


def release(
    settings: TrainerSettings, version: str | None, *, force: bool
) -> tuple[ModelRelease, Verdict | None]:
    """Releases a version of the store, the latest where none is named, once the gate and every byte are good.

    No verdict: it was released already. Raises GateIsAgainst when the gate is against it and `force` is not
    set, and what the store, the topic and a bad artifact raise.
    """
    current = releases.current(settings, settings.model_name)
    models = ModelStore(settings.tenant_store, settings.model_name)
    wanted = version or _latest(models, current)
    if wanted not in models.versions():
        raise ReleaseRefused(f"there is no version {wanted} in {models.location('')}")
    manifest, digest = models.manifest(wanted)
    if manifest.version != wanted:
        raise ReleaseRefused(f"{models.location(wanted)} holds {manifest.version}, not what it is called")
    if current is not None and (current.version, current.digest) == (wanted, digest):
        return current, None
    verdict = evaluate_gate(settings, manifest, current)
    if not verdict.passed and not force:
        refused = f"{wanted} is not released (--force does it all the same):"
        raise GateIsAgainst("\n  ".join([refused, *verdict.reasons]))
    location = models.location(wanted)
    store.check(location, digest, settings.trainer_datadir)
    found = Released(wanted, location, digest)
    made = build_release(
        current, settings.model_name, found, manifest.metrics, verdict=verdict, at=int(now_ms())
    )
    asyncio.run(releases.publish(settings, made))
    return made, verdict


def rollback(settings: TrainerSettings) -> ModelRelease:
    """Releases what was released before, once every byte of it is found good; twice, and nothing has changed.

    Raises ReleaseRefused where nothing came before, and what the store, the topic and a bad artifact raise.
    """
    current = releases.current(settings, settings.model_name)
    former = releases.before(settings.model_name, current)
    assert current is not None
    return releases.roll_back(settings, current, former, settings.trainer_datadir)


def _latest(models: ModelStore, current: ModelRelease | None) -> str:
    latest = models.latest()
    if latest is None:
        raise ReleaseRefused(f"there are no versions in {models.location('')}: train one")
    if releases.was_taken_back(latest, current):
        raise ReleaseRefused(f"{latest}, the latest, was rolled back: name it to release it all the same")
    return latest


def evaluate_gate(settings: TrainerSettings, manifest: Manifest, current: ModelRelease | None) -> Verdict:
    """What the gate says of a version when `current` serves."""
    return gate.decide(
        manifest.metrics,
        manifest.popularity,
        manifest.released,
        current,
        tolerance=settings.gate_tolerance,
        cases_min=settings.gate_cases_min,
    )
