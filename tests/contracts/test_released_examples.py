"""What a released version wrote on topics, in tables and to pages is read by today's code as it was meant."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from schemas import deadletters, events, experiments, live, released, rules, sessions
from schemas.compatibility import breaking_changes
from schemas.jsonschema import MESSAGES
from schemas.released import (
    CODECS,
    HEADERS,
    MIGRATED,
    Version,
    find_losses,
    meaning,
    meaning_beside,
    message_of,
)
from schemas.traces import TRACEPARENT
from services.ingest.publisher import ACCEPTED_AT
from services.recommender.visitor_sessions import PublishedSession

FREEZE: Final = "freeze a new version: python -m infra.freeze NAME (or NAME --again while it is not released)"
VERSIONS: Final = released.versions()
NEWEST: Final = VERSIONS[-1]
FILES: Final = [path for version in VERSIONS for path in version.files]
FORMER_SESSIONS: Final = sorted((released.FOLDER / "01-live-loop").glob("session.*.msgpack"))
SENSE: Final = {
    "event": events.check,
    "rule": rules.check,
    "experiment": experiments.check,
    "live_subscribe": live.check,
}
# Which names may be on which message; readers pass others over, so that a forgotten name would go unseen.
HEADER_NAMES: Final[Mapping[str, set[str]]] = {
    "event": {ACCEPTED_AT, deadletters.ATTEMPTS, TRACEPARENT},
    "session": {
        sessions.CAUSED_BY,
        sessions.ACCEPTED_AT,
        sessions.FOLDED_AT,
        sessions.ERASED_AT,
        sessions.EVENTS_REMOVED,
        sessions.QUIET,
        TRACEPARENT,
    },
    "dead_letter": {
        deadletters.REASON,
        TRACEPARENT,
        deadletters.SERVICE,
        deadletters.STAGE,
        deadletters.SOURCE,
        deadletters.FAILED_AT,
        deadletters.ATTEMPTS,
        deadletters.HANDLES,
        deadletters.OUTCOME,
        deadletters.HANDLED_AT,
    },
}


def name_of(path: Path) -> str:
    """A file as tests are called."""
    return f"{path.parent.name}/{path.name}"


def of(kind: str, *, but: bool = False) -> list[Any]:
    """The files that hold headers, or all that do not."""
    found = [path for path in FILES if (message_of(path) == kind) is not but]
    return [pytest.param(path, id=name_of(path)) for path in found]


@pytest.mark.parametrize("path", of(HEADERS, but=True))
def test_a_message_of_any_version_says_what_it_said(path: Path) -> None:
    found = CODECS[message_of(path)].decode(path.read_bytes())
    assert [*find_losses(meaning_beside(path), meaning(found))] == []


@pytest.mark.parametrize("path", of(HEADERS, but=True))
def test_a_message_of_any_version_is_the_same_when_it_is_written_anew(path: Path) -> None:
    codec = CODECS[message_of(path)]
    found = codec.decode(path.read_bytes())
    assert codec.decode(codec.encode(found)) == found


@pytest.mark.parametrize("path", of(HEADERS, but=True))
def test_a_message_of_any_version_makes_sense(path: Path) -> None:
    check: Any = SENSE.get(message_of(path), lambda _: None)
    assert check(CODECS[message_of(path)].decode(path.read_bytes())) is None


@pytest.mark.parametrize("path", [path for path in NEWEST.files if message_of(path) != HEADERS], ids=name_of)
def test_a_message_of_the_newest_version_is_written_byte_for_byte_alike(path: Path) -> None:
    codec, raw = CODECS[message_of(path)], path.read_bytes()
    assert codec.encode(codec.decode(raw)) == raw, FREEZE


@pytest.mark.parametrize("path", FORMER_SESSIONS, ids=name_of)
def test_a_session_of_the_former_form_keeps_its_events_and_waits_for_new_vectors(path: Path) -> None:
    former = sessions.decode(path.read_bytes())
    later = sessions.decode((released.FOLDER / "02-models" / path.name).read_bytes())
    assert former.events == later.events  # both versions were given the same events
    assert former.vector == b""
    assert former.layout != later.layout or not later.events


def test_there_are_sessions_of_the_former_form() -> None:
    assert len(FORMER_SESSIONS) >= 6
    assert max(len(sessions.decode(path.read_bytes()).events) for path in FORMER_SESSIONS) == 64


def headers_in(path: Path) -> dict[str, bytes]:
    """As a reader of Kafka has them."""
    told = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    return {name: text.encode() for name, text in told.items()}


@pytest.mark.parametrize("path", of(HEADERS))
def test_headers_of_any_version_bear_names_that_are_looked_for(path: Path) -> None:
    assert set(headers_in(path)) <= HEADER_NAMES[path.name.split(".")[1]]


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_headers_of_any_versions_sessions_tell_the_way_of_an_event(version: Version) -> None:
    told = headers_in(version.folder / "headers.session.folded.json")
    assert PublishedSession.of(b"", told) == PublishedSession(
        b"", told["caused_by"].decode(), float(told["accepted_at"]), float(told["folded_at"])
    )


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_a_dead_letter_of_any_version_is_a_letter_that_was_tried_as_often_as_it_says(
    version: Version,
) -> None:
    letter = headers_in(version.folder / "headers.dead_letter.refused.json")
    assert {deadletters.REASON, deadletters.SERVICE, deadletters.STAGE, deadletters.SOURCE} <= set(letter)
    assert deadletters.parse_mark(letter) is None
    assert deadletters.attempts_of(letter) == (1 if version in VERSIONS[:3] else 2)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_todays_schemas_allow_all_that_a_version_could_write(version: Version) -> None:
    assert released.unreadable(version, released.today()) == []


@pytest.mark.parametrize(("version", "message"), MIGRATED)
def test_what_is_said_to_be_migrated_needs_it(version: str, message: str) -> None:
    former = Version(released.FOLDER / version).schemas[message]
    assert breaking_changes(former, released.today()[message]) != []


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_is_as_the_newest_version_has_it(name: str) -> None:
    assert NEWEST.schemas.get(name) == released.today()[name], FREEZE


def test_the_newest_version_has_no_message_that_is_gone() -> None:
    assert set(NEWEST.schemas) == set(MESSAGES), FREEZE


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_a_version_has_golden_messages_of_every_kind_that_it_knew(version: Version) -> None:
    assert {message_of(path) for path in version.files} == {*version.schemas, HEADERS}


def types_of(version: Version) -> set[str]:
    """The types of events that there were."""
    return set(version.schemas["event"]["$defs"]["Event"]["properties"]["type"]["enum"])


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_a_version_has_events_of_every_type(version: Version) -> None:
    found = {events.decode(path.read_bytes()).type for path in version.files if message_of(path) == "event"}
    assert found == types_of(version)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_a_version_has_a_session_with_events_of_every_type(version: Version) -> None:
    session = sessions.decode((version.folder / "session.every_type.msgpack").read_bytes())
    assert {event.type for event in session.events} == types_of(version)


def test_every_message_has_a_codec() -> None:
    assert set(CODECS) == set(MESSAGES)


@pytest.mark.parametrize(("before", "version"), [*pairwise(VERSIONS)], ids=lambda version: version.name)
def test_what_readers_of_the_version_before_would_refuse_is_written_down(
    before: Version, version: Version
) -> None:
    assert list(version.about.readers_first) == sorted(
        released.find_refusals(before.schemas, version.schemas)
    )


def test_versions_are_numbered_one_after_the_other() -> None:
    numbers = [int(version.name.split("-")[0]) for version in VERSIONS]
    assert numbers == [*range(1, len(VERSIONS) + 1)]
