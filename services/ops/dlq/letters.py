"""A dead letter as it lies on its topic, and which are meant by what an operator asks for. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from schemas import deadletters
from schemas.deadletters import Frame, LetterId
from schemas.events import is_visitor_id
from schemas.topics import EVENTS_DLQ, PRODUCTS_DLQ, Topic
from services.endings import CannotBeDone
from services.history.past import PastHeaders, PastMessage, headers_of

TOPICS: Final[Mapping[str, Topic]] = {"events": EVENTS_DLQ, "products": PRODUCTS_DLQ}
BY_NAME: Final[Mapping[str, Topic]] = {topic.name: topic for topic in TOPICS.values()}


class NoSuchLetter(CannotBeDone):
    """What was named is no letter that lies there."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the message lay that the letter is of."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Letter:
    """The raw bytes of what was refused, and what its headers say; times are Unix ms."""

    id: LetterId
    key: bytes | None
    raw: bytes | None
    headers: PastHeaders
    reason: str
    service: str
    stage: str
    source: str
    failed_at: int
    received_at: int
    attempts: int
    sender: str | None
    frame: Frame | None

    @property
    def came_by_http(self) -> bool:
        """Whether it never lay on a topic: the source is the path then."""
        return self.source.startswith("/")

    @property
    def is_whole_body(self) -> bool:
        """Whether the bytes are a whole body rather than one entry."""
        return self.came_by_http and self.stage == deadletters.STAGE_BODY

    @property
    def place(self) -> Place | None:
        """Where on its topic the message lay, if the source says so."""
        found = re.search(r"/([0-9]{1,9})/([0-9]{1,18})$", self.source)
        return None if self.came_by_http or found is None else Place(int(found[1]), int(found[2]))


def letter_of(message: PastMessage, topic: Topic) -> Letter:
    """The letter that a message is; headers that are missing are made up for as well as can be."""
    headers = headers_of(message)
    told = {name: value or b"" for name, value in headers}
    failed_at = _millis(told.get(deadletters.FAILED_AT), message.timestamp()[1])
    sender = _text(told.get(deadletters.SENDER))
    return Letter(
        id=LetterId(topic.name, message.partition() or 0, message.offset() or 0),
        key=message.key(),
        raw=message.value(),
        headers=headers,
        reason=_text(told.get(deadletters.REASON)),
        service=_text(told.get(deadletters.SERVICE)),
        stage=_text(told.get(deadletters.STAGE)),
        source=_text(told.get(deadletters.SOURCE)),
        failed_at=failed_at,
        received_at=_millis(told.get(deadletters.RECEIVED_AT), failed_at),
        attempts=deadletters.attempts_of(told),
        sender=sender if is_visitor_id(sender) else None,
        frame=deadletters.decode_frame(told.get(deadletters.FRAME)),
    )


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode(errors="replace")


def _millis(raw: bytes | None, otherwise: int) -> int:
    return int(raw) if raw is not None and re.fullmatch(rb"[0-9]{1,13}", raw) else otherwise


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters are meant: all that fit everything that is named. Texts are compared without case."""

    topics: tuple[Topic, ...] = (EVENTS_DLQ, PRODUCTS_DLQ)
    ids: frozenset[LetterId] = field(default_factory=frozenset)
    reason: str | None = None
    service: str | None = None
    stage: str | None = None

    def fits(self, letter: Letter) -> bool:
        """Whether this letter is meant."""
        return (
            (not self.ids or letter.id in self.ids)
            and (self.reason is None or self.reason.casefold() in letter.reason.casefold())
            and (self.service is None or self.service == letter.service)
            and (self.stage is None or self.stage == letter.stage)
        )

    @classmethod
    def of(
        cls,
        ids: list[str],
        topic: str | None = None,
        reason: str | None = None,
        service: str | None = None,
        stage: str | None = None,
    ) -> Self:
        """As options name it. Raises NoSuchLetter for an id that can be none."""
        named = frozenset(map(_id, ids))
        topics = (TOPICS[topic],) if topic else tuple(TOPICS.values())
        if named:
            topics = tuple(each for each in topics if each.name in {one.topic for one in named})
        return cls(topics, named, reason, service, stage)


def _id(text: str) -> LetterId:
    try:
        found = LetterId.parsed(text)
    except ValueError as error:
        raise NoSuchLetter(str(error)) from None
    if found.topic not in BY_NAME:
        raise NoSuchLetter(f"{text}: dead letters lie on {' and '.join(BY_NAME)}")
    return found
