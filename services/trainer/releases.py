"""The topic `models`: what is released now, and what is released next."""

from typing import Final

import msgspec

from schemas import models
from schemas.models import Gate, Metrics, ModelRelease, Released
from schemas.topics import MODELS
from services.history.partitions import reading
from services.kafka import AcknowledgedProducer, OutgoingMessage, producer_config
from services.settings import ServiceSettings
from services.trainer.gate import Verdict

SEND_MS: Final = 15_000


class ReleaseRefused(Exception):
    """A release that cannot be; the text is for who asked for it."""


class GateIsAgainst(ReleaseRefused):
    """The gate says no; the text holds its reasons."""


def current(settings: ServiceSettings, name: str) -> ModelRelease | None:
    """The newest release of a model; None where there is none. Raises BrokerAway, TopicMissing.

    Raises ReleaseRefused for a message that cannot be read: what serves now is not to be guessed.
    """
    newest: bytes | None = None
    with reading(settings) as reader:
        for messages in reader.read(reader.spans(MODELS)):
            for message in messages:
                if message.key() == name.encode():
                    newest = message.value()
    if newest is None:
        return None
    try:
        return models.decode(newest)
    except msgspec.MsgspecError as error:
        raise ReleaseRefused(
            f"the newest message of {name} on {settings.topic(MODELS)} is no release: {error}"
        ) from None


async def publish(settings: ServiceSettings, release: ModelRelease) -> None:
    """Puts a release on the topic; returns when the broker has it. Raises NotDelivered."""
    producer = AcknowledgedProducer(producer_config(settings, linger_ms=0, timeout_ms=SEND_MS))
    try:
        message: OutgoingMessage = (release.name.encode(), models.encode(release), [])
        await producer.send_all(settings.topic(MODELS), [message])
    finally:
        producer.close(timeout_s=0)


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


def before(name: str, release: ModelRelease | None) -> Released:
    """What a rollback goes back to. Raises ReleaseRefused where there is nothing."""
    if release is None:
        raise ReleaseRefused(f"no {name} is released, so there is nothing to go back from")
    if release.previous is None:
        raise ReleaseRefused(f"{release.version} is the first release of {name}: nothing came before it")
    return release.previous


def rolled_back(release: ModelRelease, metrics: Metrics | None, *, at: int) -> ModelRelease:
    """The release, once more, of what came before; `metrics` are its own, `at` is Unix ms.

    What it takes the place of is now the previous: a second rollback takes the first one back.
    """
    former = before(release.name, release)
    return ModelRelease(
        name=release.name,
        version=former.version,
        location=former.location,
        digest=former.digest,
        released_at=at,
        gate=Gate("rolled_back", (f"Back from {release.version}.",)),
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
