"""The topic `models`: what is released now, and the way back to what was."""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from schemas import models
from schemas.models import Gate, Metrics, ModelRelease, Released
from schemas.topics import MODELS
from schemas.unreadable import Unreadable
from services.clock import now_ms
from services.errors import OperationFailed
from services.kafka.clients import AcknowledgedProducer, OutgoingMessage, producer_config
from services.kafka.messages import RELEASE, newest_of_topic
from services.kafka.ranges import open_reader
from services.model import store
from services.settings import ServiceSettings

SEND_MS: Final = 15_000


class ReleaseRefused(OperationFailed):
    """A release that cannot be; the text is for who asked for it."""


def newest_by_name(settings: ServiceSettings) -> dict[str, ModelRelease | Unreadable]:
    """The newest release of each model's name, or why it cannot be read. Raises BrokerAway, TopicMissing."""
    with open_reader(settings) as reader:
        return newest_of_topic(reader, RELEASE)


def current(settings: ServiceSettings, name: str) -> ModelRelease | None:
    """The newest release of a model; None where there is none. Raises BrokerAway, TopicMissing.

    Raises ReleaseRefused for a message that cannot be read: what serves now is not to be guessed.
    """
    return read(settings, newest_by_name(settings), name)


def read(
    settings: ServiceSettings, newest: Mapping[str, ModelRelease | Unreadable], name: str
) -> ModelRelease | None:
    """The release of a model among what `newest_by_name` found. Raises ReleaseRefused as `current` does."""
    found = newest.get(name)
    if isinstance(found, Unreadable):
        raise ReleaseRefused(
            f"the newest message of {name} on {settings.topic(MODELS)} is no release: {found}"
        )
    return found


async def publish(settings: ServiceSettings, release: ModelRelease) -> None:
    """Puts a release on the topic; returns when the broker has it. Raises NotDelivered."""
    producer = AcknowledgedProducer(producer_config(settings, linger_ms=0, timeout_ms=SEND_MS))
    try:
        message: OutgoingMessage = (release.name.encode(), models.encode(release), [])
        await producer.send_all(settings.topic(MODELS), [message])
    finally:
        producer.close(timeout_s=0)


def roll_back(
    settings: ServiceSettings, release: ModelRelease, to: Released, work: Path, *reasons: str
) -> ModelRelease:
    """Releases another version in the place of `release`, once every byte of it is found good.

    `work` is a folder for the time being, `reasons` are further ones for the release to hold. Blocks. Raises
    StoreFailed, ArtifactRefused, NotDelivered.
    """
    manifest = store.check(to.location, to.digest, work)
    made = build_rollback(release, to, manifest.metrics, at=int(now_ms()), reasons=reasons)
    asyncio.run(publish(settings, made))
    return made


def before(name: str, release: ModelRelease | None) -> Released:
    """What a rollback goes back to. Raises ReleaseRefused where there is nothing."""
    if release is None:
        raise ReleaseRefused(f"no {name} is released, so there is nothing to go back from")
    if release.previous is None:
        raise ReleaseRefused(f"{release.version} is the first release of {name}: nothing came before it")
    return release.previous


def build_rollback(
    release: ModelRelease, to: Released, metrics: Metrics | None, *, at: int, reasons: Iterable[str] = ()
) -> ModelRelease:
    """The release, once more, of another version; `metrics` are its own, `at` is Unix ms.

    What it takes the place of is now the previous: a second rollback takes the first one back.
    """
    return ModelRelease(
        name=release.name,
        version=to.version,
        location=to.location,
        digest=to.digest,
        released_at=at,
        gate=Gate("rolled_back", (f"Back from {release.version}.", *reasons)),
        metrics=metrics,
        previous=release.released,
    )


def was_taken_back(version: str, release: ModelRelease | None) -> bool:
    """Whether the newest release is a rollback from this version."""
    return (
        release is not None
        and release.gate.outcome == "rolled_back"
        and release.previous is not None
        and release.previous.version == version
    )
