"""`erase VISITOR`."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final

import typer
from confluent_kafka import Consumer, TopicPartition

from schemas.events import is_visitor_id
from schemas.sessions import ERASED_AT, EVENTS_REMOVED
from schemas.topics import SESSIONS
from services.cli import AsJson, confirm, console, exit_with_status, progress_console
from services.clock import now_ms
from services.errors import CheckFailed, UsageError
from services.kafka.clients import client_config, receive
from services.kafka.messages import header_count, header_ms, headers_by_name
from services.kafka.ranges import RangeReader, open_reader
from services.kafka.writer import open_writer
from services.ops.erase.query import PLACES, ErasureReport, Place, places
from services.ops.output import present, table
from services.ops.services import Recommender, Unanswered
from services.ops.settings import OpsSettings, load_settings
from services.progress import Progress, create_progress
from services.settings import ServiceSettings
from services.time_range import format_time
from services.visitors import erasure

POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Confirmation:
    """How many events were removed from a visitor's session, and how many ms after the erasure."""

    events: int
    after_ms: float


class SessionsWatch:
    """Sees what is written to `sessions` from its making on. Raises BrokerAway, TopicMissing."""

    def __init__(self, settings: ServiceSettings, reader: RangeReader) -> None:
        ends = reader.spans(SESSIONS)
        self._consumer = Consumer(
            client_config(settings)
            | {"group.id": "unused-by-a-watch", "enable.auto.commit": False, "fetch.queue.backoff.ms": 5}
        )
        self._consumer.assign([TopicPartition(span.topic, span.partition, span.end) for span in ends])

    def wait(self, visitor_ids: Iterable[str], erased_at: int, within_s: float) -> dict[str, Confirmation]:
        """Those that are confirmed in time. `erased_at` is Unix ms, and the beginning of the waiting."""
        awaited, found = {each.encode(): each for each in visitor_ids}, dict[str, Confirmation]()
        deadline = time.monotonic() + within_s
        while len(found) < len(awaited) and time.monotonic() < deadline:
            for message in receive(self._consumer, 100, POLL_S):
                visitor_id = awaited.get(message.key() or b"")
                if message.error() is not None or visitor_id is None:
                    continue
                headers = headers_by_name(message)
                if (header_ms(headers, ERASED_AT) or -1) >= erased_at:
                    after_ms = max(0.0, message.timestamp()[1] - erased_at)
                    found[visitor_id] = Confirmation(header_count(headers, EVENTS_REMOVED), after_ms)
        return found

    def close(self) -> None:
        """Closes the connection."""
        self._consumer.close()


ASKED_WITHIN_S: Final = 2.0
SESSIONS_POLL_S: Final = 0.01


def erase_person(
    settings: OpsSettings,
    visitor_id: str,
    person: erasure.Person,
    *,
    reason: str | None,
    within_s: float,
    progress: Progress,
) -> ErasureReport:
    """Erases the visitors of a person, and waits at most `within_s` for the session processors' word.

    Killed at any moment it can be run again. Raises BrokerAway, TopicMissing, NotDelivered.
    """
    with open_reader(settings) as reader:
        watch = SessionsWatch(settings, reader)
        try:
            erased_at = int(now_ms())
            with open_writer(settings, at_once=True) as writer:
                for topic, messages in erasure.messages(person, erased_at, reason):
                    for key, value, _ in messages:
                        writer.write(settings.topic(topic), key, value)
                    writer.finish()
            progress.stage("waiting for the session processors")
            confirmed = watch.wait(person.visitor_ids, erased_at, within_s)
        finally:
            watch.close()
        shown = _recommender(settings, person, erased_at)
        left = tuple(places(settings, reader, person.visitor_ids, progress, erased_at))
    return ErasureReport(
        visitor_id=visitor_id,
        visitors=person.visitor_ids,
        erased_at=erased_at,
        confirmed={each: word.after_ms for each, word in sorted(confirmed.items())},
        unconfirmed=tuple(each for each in person.visitor_ids if each not in confirmed),
        places=(
            _sessions(confirmed),
            Place(where="identities", removed=f"{len(person.joined)} joins"),
            shown,
            *left,
        ),
    )


def _sessions(confirmed: dict[str, Confirmation]) -> Place:
    if not confirmed:
        return Place(where="sessions", note="no session processor has answered: it is done when one starts")
    events = sum(each.events for each in confirmed.values())
    slowest = max(each.after_ms for each in confirmed.values())
    return Place(where="sessions", removed=f"{events} events and their vectors, {slowest:.0f} ms after")


def _recommender(settings: OpsSettings, person: erasure.Person, erased_at: int) -> Place:
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
                time.sleep(SESSIONS_POLL_S)
    except Unanswered as error:
        return Place(where=where, note=f"not asked: {error}")
    told = f"remembers nothing, asked {now_ms() - erased_at:.0f} ms after; open pages start anew"
    return Place(where=where, removed=told)


def erase(  # noqa: PLR0917 - typer knows them by name
    visitor: Annotated[str, typer.Argument(help="a visitor_id; user:… is a user's own")],
    only: Annotated[
        bool, typer.Option("--only", help="this visitor_id alone, not all that are the same person")
    ] = False,
    reason: Annotated[
        str | None, typer.Option(help="kept with the erasure, such as a ticket's number")
    ] = None,
    wait: Annotated[
        float, typer.Option(min=0, help="seconds to wait for the session processors' word")
    ] = 10.0,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
    as_json: AsJson = False,
) -> None:
    """Forget a visitor, and all visitors that are the same person. It cannot be undone.

    Within a second the session is gone on all workers and open pages start anew; what lies on topics is left
    out by every reader until it ages out; later events start from nothing. Prints what was removed where, and
    what is gone when. Ends with 1 when no session processor has confirmed it: it is done when one starts.

    Example: python -m services.ops erase 01JD7Z8QX3N5R2V9W4T6Y8B1CM --reason "ticket 4711"
    """
    with exit_with_status(stopped="run it again: an erasure that was begun is completed"):
        if not is_visitor_id(visitor):
            raise UsageError(f"{visitor!r} is no visitor_id: 1 to 64 letters, digits or any of _.:-")
        found = load_settings()
        person = erasure.person_of(found, visitor)
        if only:
            person = person.alone(visitor)
        others = [each for each in person.visitor_ids if each != visitor]
        told = f", and as the same person {', '.join(others)}" if others else ""
        confirm(f"forget {visitor}{told}?", yes=yes)
        with create_progress(progress_console) as progress:
            report = erase_person(found, visitor, person, reason=reason, within_s=wait, progress=progress)
        present(report, _show, as_json=as_json)
        if report.unconfirmed:
            raise CheckFailed(
                f"not confirmed within {wait:.0f} s: {', '.join(report.unconfirmed)}. "
                "Start a session processor, which does it first of all"
            )


def _show(report: ErasureReport) -> None:
    console.print(
        f"forgotten up to {format_time(report.erased_at)}: {', '.join(report.visitors)}", highlight=False
    )
    console.print(table(report.places, PLACES))
