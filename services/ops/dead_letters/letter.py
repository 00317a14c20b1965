"""A dead letter as it lies on its topic, and which are meant by what an operator asks for. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Self

import msgspec

from schemas import deadletters
from schemas.deadletters import Frame, LetterId
from schemas.events import LATEST_MS, is_visitor_id
from schemas.identities import visitor_of, visitor_of_anonymous
from schemas.topics import EVENTS_DLQ, PRODUCTS_DLQ, Topic
from services.errors import OperationFailed
from services.kafka.ranges import MessageHeaders, TopicMessage, headers_of
from services.visitors.erasure import Erasures

TOPICS: Final[Mapping[str, Topic]] = {"events": EVENTS_DLQ, "products": PRODUCTS_DLQ}
BY_NAME: Final[Mapping[str, Topic]] = {topic.name: topic for topic in TOPICS.values()}


class NoSuchLetter(OperationFailed):
    """What was named is no letter that lies there."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the message lay that the letter is of."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """The raw bytes of what was refused, and what its headers say; times are Unix ms.

    `count`: for how many identical refusals it stands.
    """

    id: LetterId
    key: bytes | None
    raw: bytes | None
    headers: MessageHeaders
    reason: str
    service: str
    stage: str
    source: str
    failed_at: int
    received_at: int
    attempts: int
    sender: str | None
    frame: Frame | None
    count: int = 1
    size: int | None = None
    sha256: str = ""

    @property
    def is_cut(self) -> bool:
        """Whether `raw` is only the beginning of a value of `size` bytes, which had the digest `sha256`."""
        return self.size is not None

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


def letter_of(message: TopicMessage, topic: Topic) -> DeadLetter:
    """The letter that a message is; headers that are missing are made up for as well as can be."""
    headers = headers_of(message)
    told = {name: value or b"" for name, value in headers}
    failed_at = _millis(told.get(deadletters.FAILED_AT), message.timestamp()[1])
    sender = _text(told.get(deadletters.SENDER))
    return DeadLetter(
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
        count=_count(told.get(deadletters.COUNT)) or 1,
        size=_count(told.get(deadletters.SIZE)),
        sha256=_text(told.get(deadletters.SHA256)),
    )


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode(errors="replace")


def _count(raw: bytes | None) -> int | None:
    return int(raw) if raw is not None and re.fullmatch(rb"[0-9]{1,12}", raw) else None


def _millis(raw: bytes | None, otherwise: int) -> int:
    """A time that there is: ingest takes no batch of letters with another one in it."""
    found = int(raw) if raw is not None and re.fullmatch(rb"[0-9]{1,13}", raw) else otherwise
    return min(max(0, found), LATEST_MS)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters are meant: all that fit everything that is named. Texts are compared without case."""

    topics: tuple[Topic, ...] = (EVENTS_DLQ, PRODUCTS_DLQ)
    ids: frozenset[LetterId] = field(default_factory=frozenset)
    reason: str | None = None
    service: str | None = None
    stage: str | None = None

    def fits(self, letter: DeadLetter) -> bool:
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
        found = LetterId.parse(text)
    except ValueError as error:
        raise NoSuchLetter(str(error)) from None
    if found.topic not in BY_NAME:
        raise NoSuchLetter(f"{text}: dead letters lie on {' and '.join(BY_NAME)}")
    return found


VISITORS: Final = ("visitor_id", "anonymousId")
USERS: Final = ("user_id", "userId", "previousId")
ANONYMOUS: Final = ("anonymousId", "previousId")
ABOUT_MAX: Final = 64  # characters

# What may name a visitor in bytes that are no JSON.
TOKEN: Final = re.compile(rb"[A-Za-z0-9_.:-]{1,64}")


def about(letter: DeadLetter) -> str:
    """The product or the visitor that a letter names, or nothing."""
    told = _json(letter.raw)
    if isinstance(told, dict):
        names = ("product_id",) if letter.id.topic == PRODUCTS_DLQ.name else (*VISITORS, *USERS)
        for name in names:
            if isinstance(told.get(name), str | int) and told[name] != "":
                return str(told[name])[:ABOUT_MAX]
    return (letter.key or b"").decode(errors="replace")[:ABOUT_MAX]


def find_erased_visitor(letter: DeadLetter, erasures: Erasures, known: Iterable[str] = ()) -> str | None:
    """A visitor that the letter names and that is to be forgotten; `known` are those that ingest tells.

    Bytes that are no JSON name everybody whose id stands in them.
    """
    if letter.id.topic == PRODUCTS_DLQ.name or not erasures.until:
        return None
    told = _json(letter.raw)
    happened = told.get("occurred_at") if isinstance(told, dict) else None
    stamps = [letter.received_at, letter.failed_at]
    if isinstance(happened, int) and not isinstance(happened, bool):
        stamps.append(happened)
    for visitor_id in (*known, *_visitors(letter, told)):
        if erasures.leave_out(visitor_id, *stamps):
            return visitor_id
    return None


def _visitors(letter: DeadLetter, told: object) -> Iterator[str]:
    if letter.sender is not None:
        yield letter.sender
    if letter.key is not None:
        yield letter.key.decode(errors="replace")
    if told is not None:
        yield from _visitor_names(told)
        return
    for token in TOKEN.findall(letter.raw or b""):
        yield token.decode()
        yield visitor_of(token.decode())


def _visitor_names(told: object) -> Iterator[str]:
    """What lies under the names of visitors and users, however deep: a body is a list of entries."""
    left = [told]
    while left:
        each = left.pop()
        if isinstance(each, list):
            left += each
        elif isinstance(each, dict):
            left += each.values()
            ids: dict[str, str] = {name: str(each[name]) for name in (*VISITORS, *USERS) if each.get(name)}
            yield from (text for text in ids.values() if is_visitor_id(text))
            yield from (visitor_of(text) for name, text in ids.items() if name not in VISITORS)
            yield from (visitor_of_anonymous(ids[name]) for name in ANONYMOUS if name in ids)


def _json(raw: bytes | None) -> object:
    try:
        return msgspec.json.decode(raw or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
