"""An erasure from the command line: who, told to Kafka, confirmed, and what is left where."""

import time
from typing import Final

from schemas.topics import ERASURES, IDENTITIES
from services.history import erasing
from services.history.partitions import reading
from services.history.progress import Progress
from services.history.writing import writing
from services.kafka import now_ms
from services.ops.erase.answers import Erased, Place
from services.ops.erase.confirming import Confirmed, SessionsWatch
from services.ops.erase.remaining import places
from services.ops.recommender_client import Recommender, Unanswered
from services.ops.settings import OpsSettings

ASKED_WITHIN_S: Final = 2.0
POLL_S: Final = 0.01


def erase(
    settings: OpsSettings,
    visitor_id: str,
    person: erasing.Person,
    *,
    reason: str | None,
    within_s: float,
    progress: Progress,
) -> Erased:
    """Erases the visitors of a person, and waits at most `within_s` for the session processors' word.

    Killed at any moment it can be run again. Raises BrokerAway, TopicMissing, NotDelivered.
    """
    with reading(settings) as reader:
        watch = SessionsWatch(settings, reader)
        try:
            erased_at = int(now_ms())
            _write(settings, person, erased_at, reason)
            progress.stage("waiting for the session processors")
            confirmed = watch.wait(person.visitor_ids, erased_at, within_s)
        finally:
            watch.close()
        shown = _recommender(settings, person, erased_at)
        left = tuple(places(settings, reader, person.visitor_ids, progress, erased_at))
    return Erased(
        visitor_id=visitor_id,
        visitors=person.visitor_ids,
        erased_at=erased_at,
        confirmed={each: word.after_ms for each, word in sorted(confirmed.items())},
        unconfirmed=tuple(each for each in person.visitor_ids if each not in confirmed),
        places=(_sessions(confirmed), _identities(person), shown, *left),
    )


def _write(settings: OpsSettings, person: erasing.Person, erased_at: int, reason: str | None) -> None:
    erasures, parted = erasing.messages(person, erased_at, reason)
    with writing(settings, at_once=True) as writer:
        for topic, messages in ((ERASURES, erasures), (IDENTITIES, parted)):
            for key, value, _ in messages:
                writer.write(settings.topic(topic), key, value)
            writer.finish()


def _sessions(confirmed: dict[str, Confirmed]) -> Place:
    if not confirmed:
        return Place(where="sessions", note="no session processor has answered: it is done when one starts")
    events = sum(each.events for each in confirmed.values())
    slowest = max(each.after_ms for each in confirmed.values())
    return Place(where="sessions", removed=f"{events} events and their vectors, {slowest:.0f} ms after")


def _identities(person: erasing.Person) -> Place:
    return Place(where="identities", removed=f"{len(person.joined)} joins")


def _recommender(settings: OpsSettings, person: erasing.Person, erased_at: int) -> Place:
    """What one recommender says; others read the same topics at the same time."""
    where = f"the recommender at {settings.recommender_url}"
    if settings.api_key is None:
        return Place(where=where, note="not asked: set EDDY_API_KEY")
    deadline = time.monotonic() + ASKED_WITHIN_S
    try:
        with Recommender(settings) as recommender:
            while left := sum(len(recommender.profile(each)["events"]) for each in person.visitor_ids):
                if time.monotonic() > deadline:
                    return Place(where=where, note=f"still remembers {left} events: is it ready?")
                time.sleep(POLL_S)
    except Unanswered as error:
        return Place(where=where, note=f"not asked: {error}")
    told = f"remembers nothing, asked {now_ms() - erased_at:.0f} ms after; open pages start anew"
    return Place(where=where, removed=told)
