"""Whether a model is released, whether its store has it whole, and whether the recommender serves it."""

from pathlib import Path
from typing import Final

import httpx
import msgspec

from schemas import models
from schemas.models import ModelRelease
from schemas.topics import MODELS
from services.history.partitions import reading
from services.kafka import now_ms
from services.model import store
from services.model.artifact import ArtifactRefused
from services.model.store import StoreFailed
from services.ops.doctor import health
from services.ops.doctor.findings import Finding
from services.ops.lag import age
from services.ops.settings import OpsSettings

SERVED: Final = "eddy_recommender_model_served"
OLD_MS: Final = 30 * 24 * 60 * 60 * 1000  # the retention of events: nothing it learned from is there any more
TRAIN: Final = "python -m services.trainer train, then release"


def released(settings: OpsSettings) -> ModelRelease | None:
    """The newest release of the settings' model. Raises msgspec.MsgspecError for what is none."""
    newest: bytes | None = None
    with reading(settings) as reader:
        for messages in reader.read(reader.spans(MODELS)):
            for message in messages:
                if message.key() == settings.model_name.encode():
                    newest = message.value()
    return None if newest is None else models.decode(newest)


def model(settings: OpsSettings, work: Path) -> list[Finding]:
    """Of the released version: its age, its bytes in the store, its service. `work` is for the time being."""
    try:
        release = released(settings)
    except msgspec.MsgspecError as error:
        told = f"the newest message of {settings.model_name} on models is no release: {error}"
        return [
            Finding("model", "bad", told, "python -m services.trainer rollback, or release another version")
        ]
    if release is None:
        told = f"no {settings.model_name} is released: rows are made of content and popularity alone"
        return [Finding("model", "warn", told, TRAIN)]
    return [_of_age(release, now_ms()), _in_store(release, work), _served(settings, release)]


def _of_age(release: ModelRelease, now: float) -> Finding:
    old_ms = max(0.0, now - release.released_at)
    told = f"{release.name} {release.version}, released {age(old_ms / 1000)} ago"
    if old_ms > OLD_MS:
        return Finding("model", "warn", told, f"it has seen nothing of the events that there are: {TRAIN}")
    return Finding("model", "ok", told)


def _in_store(release: ModelRelease, work: Path) -> Finding:
    """Every byte is looked at."""
    try:
        store.check(release.location, release.digest, work)
    except StoreFailed as error:
        what = "mend the store or its credentials; a recommender that starts now gets no model"
        return Finding("model store", "bad", str(error), what)
    except ArtifactRefused as error:
        what = "python -m services.ops models rollback, or put the version there again"
        return Finding("model store", "bad", f"{release.version} is not as released: {error}", what)
    return Finding("model store", "ok", f"{release.location} is whole")


def _served(settings: OpsSettings, release: ModelRelease) -> Finding:
    try:
        found = health.samples(settings, "recommender", SERVED)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Finding(
            "model served",
            "warn",
            f"the recommender does not tell: {error}",
            "see the line of the recommender",
        )
    versions = [labels["version"] for labels, value in found if labels["model"] == release.name and value]
    if versions == [release.version]:
        return Finding("model served", "ok", f"the recommender serves {release.version}")
    serves = ", ".join(versions) or "no model"
    return Finding(
        "model served",
        "bad",
        f"the recommender serves {serves}, and {release.version} is released",
        "its log tells why it was refused, or that its store is away: it tries again by itself",
    )
