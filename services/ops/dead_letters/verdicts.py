"""Whether a dead letter may be put back, and if not, why."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from schemas import events, products, times
from schemas.deadletters import Verdict
from schemas.events import Event
from schemas.products import MAX_PRODUCT_BYTES, Product
from schemas.topics import IDENTITIES, PRODUCTS, PRODUCTS_DLQ
from schemas.unreadable import Unreadable
from services.kafka import ranges
from services.kafka.messages import IDENTITY, PRODUCT, decode, read_value
from services.kafka.ranges import TopicMessage, headers_of
from services.ops.dead_letters.ingest import Ingest
from services.ops.dead_letters.letter import DeadLetter, find_erased_visitor
from services.ops.dead_letters.query import Readers
from services.time_range import format_time
from services.visitors.erasure import Erasures


class NewerProducts:
    """The newest of each product, and its deletion, among the messages that lie on `products` now."""

    def __init__(self, messages: Iterable[TopicMessage]) -> None:
        self._newest: dict[bytes, tuple[TopicMessage, Product]] = {}
        self._gone: dict[bytes, TopicMessage] = {}
        self._deleted_at: dict[bytes, int] = {}
        for message in messages:
            read = decode(PRODUCT, message)
            if isinstance(read, Unreadable):
                continue
            key, product = read.key.encode(), read.value
            if product is None:
                self._gone[key] = message
                told = times.deletion(headers_of(message), message.timestamp()[1])
                self._deleted_at[key] = max(told or 0, self._deleted_at.get(key, 0))
            elif key not in self._newest or product.updated_at >= self._newest[key][1].updated_at:
                self._newest[key] = message, product

    def of(self, letter: DeadLetter, product: Product) -> str | None:
        """Why a letter's product is not to be put back: behind what is newer it would win by compaction."""
        key = product.product_id.encode()
        gone = self._gone.get(key)
        is_older = product.updated_at < self._deleted_at.get(key, 0)
        if gone is not None and (is_older or _is_later(gone, letter)):
            return f"the product was deleted since, {format_time(gone.timestamp()[1])}"
        if key not in self._newest:
            return None
        message, newest = self._newest[key]
        if newest.updated_at > product.updated_at:
            return f"a newer one lies on products: updated {format_time(newest.updated_at)}"
        is_same = newest.updated_at == product.updated_at
        if is_same and message.value() != letter.raw and _is_later(message, letter):
            return "a later one with the same updated_at lies on products"
        return None


def _is_later(message: TopicMessage, letter: DeadLetter) -> bool:
    """By place where both lay on one partition, else by time."""
    place = letter.place
    if place is not None and place.partition == (message.partition() or 0):
        return (message.offset() or 0) > place.offset
    return message.timestamp()[1] >= letter.failed_at


# bad: refused today as well. often: has had all its attempts. erased: of somebody who is to be forgotten.
# superseded: something newer lies on the topic. foreign: under another visitor's token. cut: only the
# beginning of it was kept.
Kind = Literal["good", "bad", "often", "erased", "superseded", "foreign", "cut"]

STAGE_VISITOR: Final = "visitor"


@dataclass(frozen=True, slots=True)
class RequeueVerdict:
    """What is said of a letter: the key it goes under on its topic, or in a sentence why it stays."""

    letter: DeadLetter
    kind: Kind
    why: str = ""
    key: bytes | None = None
    joined: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RequeuePolicy:
    """Judges letters. With `as_is` it does not matter whether today's code would take them."""

    readers: Readers
    erasures: Erasures
    attempts_max: int
    as_is: bool = False

    def on_topic(self, letters: Sequence[DeadLetter]) -> list[RequeueVerdict]:
        """Letters of messages that lay on a topic."""
        made = {letter.id: _product(letter) for letter in letters if letter.id.topic == PRODUCTS_DLQ.name}
        found = {each.product_id for each in made.values() if isinstance(each, Product)}
        overtaking = self._newer_products(found)
        judged = []
        for letter in letters:
            read = made[letter.id] if letter.id in made else _event(letter)
            superseded = overtaking.of(letter, read) if isinstance(read, Product) else None
            if isinstance(read, str):
                judged.append(self._judge(letter, why=read))
                continue
            key = read.visitor_id if isinstance(read, Event) else read.product_id
            judged.append(self._judge(letter, why="", key=key.encode(), superseded=superseded))
        return judged

    def by_http(self, letters: Sequence[DeadLetter], ingest: Ingest) -> list[RequeueVerdict]:
        """Letters that go back to ingest."""
        whole = [letter for letter in letters if not letter.is_cut]
        verdicts = ingest.judge(whole)
        newer = self._newer_joins(verdicts)
        judged = [self._judge(letter, why="") for letter in letters if letter.is_cut]
        for letter, verdict in zip(whole, verdicts, strict=True):
            is_bad = bool(verdict.reasons) and not (letter.is_whole_body and verdict.accepted)
            why = verdict.reasons[0] if is_bad else ""
            joined = tuple(each for each, at in verdict.joins.items() if newer.get(each, -1) > at)
            judged.append(self._judge(letter, why=why, known=verdict.visitors, joined=joined))
        return judged

    def _judge(
        self,
        letter: DeadLetter,
        *,
        why: str,
        key: bytes | None = None,
        superseded: str | None = None,
        known: Sequence[str] = (),
        joined: tuple[str, ...] = (),
    ) -> RequeueVerdict:
        if visitor_id := find_erased_visitor(letter, self.erasures, known):
            return RequeueVerdict(letter, "erased", f"visitor {visitor_id} is to be forgotten: drop it")
        if superseded is not None:
            return RequeueVerdict(letter, "superseded", f"{superseded}: drop it")
        if (stays := self._own_fault(letter)) is not None:
            return stays
        if self.as_is:
            return RequeueVerdict(letter, "good", key=letter.key, joined=joined)
        return RequeueVerdict(letter, "bad" if why else "good", why, key, joined)

    def _own_fault(self, letter: DeadLetter) -> RequeueVerdict | None:
        """Why a letter stays whatever today's code and topics say."""
        if letter.is_cut:
            return RequeueVerdict(
                letter,
                "cut",
                f"only the first {len(letter.raw or b''):,} of its {letter.size:,} bytes were kept (sha256 "
                f"{letter.sha256}): let its sender send the whole again, then drop it",
            )
        if letter.came_by_http and letter.stage == STAGE_VISITOR:
            return RequeueVerdict(
                letter, "foreign", "it came with another visitor's token, so it may be forged: drop it"
            )
        if letter.attempts >= self.attempts_max:
            often = f"it has failed {letter.attempts} times: drop it, or raise --attempts-max"
            return RequeueVerdict(letter, "often", often)
        return None

    def _newer_products(self, product_ids: set[str]) -> NewerProducts:
        if not product_ids:
            return NewerProducts(())
        with self.readers() as reader:
            keys = [product_id.encode() for product_id in product_ids]
            return NewerProducts(ranges.of_keys(reader, PRODUCTS, keys))

    def _newer_joins(self, verdicts: Sequence[Verdict]) -> dict[str, int]:
        """When `identities` last heard of the visitors that these letters join to a user."""
        visitors = {visitor for verdict in verdicts for visitor in verdict.joins}
        if not visitors:
            return {}
        with self.readers() as reader:
            found = ranges.newest_of_keys(reader, IDENTITIES, [each.encode() for each in visitors])
        heard: dict[str, int] = {}
        for message in found.values():
            if (identity := read_value(IDENTITY, message)) is not None:
                heard[identity.visitor_id] = identity.occurred_at
        return heard


def _event(letter: DeadLetter) -> Event | str:
    if letter.raw is None:
        return "a tombstone is no event"
    try:
        event = events.decode(letter.raw)
    except Unreadable as error:
        return str(error)
    return events.check(event) or event


def _product(letter: DeadLetter) -> Product | str:
    if letter.raw is None:
        return "a tombstone whose key is no product_id"
    if len(letter.raw) > MAX_PRODUCT_BYTES:
        return f"a product has at most {MAX_PRODUCT_BYTES} bytes, this one {len(letter.raw)}"
    try:
        return products.decode(letter.raw)
    except Unreadable as error:
        return str(error)
