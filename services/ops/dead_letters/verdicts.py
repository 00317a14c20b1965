"""Whether a dead letter may be put back, and if not, why."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from schemas import events, identities, products
from schemas.deadletters import Verdict
from schemas.events import Event
from schemas.products import MAX_PRODUCT_BYTES, Product
from schemas.topics import IDENTITIES, PRODUCTS, PRODUCTS_DLQ
from services.kafka import ranges
from services.kafka.ranges import HistoryReader, TopicMessage
from services.ops.dead_letters.ingest import Ingest
from services.ops.dead_letters.letter import DeadLetter, Place, find_erased_visitor
from services.ops.dead_letters.query import Readers
from services.time_range import format_time
from services.visitors.erasure import Erasures

BEFORE_ALL: Final = Place(0, -1)


@dataclass(frozen=True, slots=True)
class _TopicProduct:
    """A message of `products`; without a product it is a tombstone."""

    place: Place
    at: int
    raw: bytes | None
    product: Product | None


class NewerProducts:
    """The newest of each product, and its deletion, among the messages that lie on `products` now."""

    def __init__(self, messages: Iterable[TopicMessage]) -> None:
        self._newest: dict[bytes, _TopicProduct] = {}
        self._gone: dict[bytes, _TopicProduct] = {}
        for message in messages:
            self._take(message.key() or b"", message)

    def _take(self, key: bytes, message: TopicMessage) -> None:
        place, raw = Place(message.partition() or 0, message.offset() or 0), message.value()
        at = message.timestamp()[1]
        if raw is None:
            self._gone[key] = _TopicProduct(place, at, None, None)
            return
        try:
            product = products.decode(raw)
        except msgspec.MsgspecError:
            return
        newest = self._newest.get(key)
        if newest is None or newest.product is None or product.updated_at >= newest.product.updated_at:
            self._newest[key] = _TopicProduct(place, at, raw, product)

    def of(self, letter: DeadLetter, product: Product) -> str | None:
        """Why a letter's product is not to be put back: behind what is newer it would win by compaction."""
        key = product.product_id.encode()
        gone, newest = self._gone.get(key), self._newest.get(key)
        if gone is not None and _is_later(gone, letter):
            return f"the product was deleted since, {format_time(gone.at)}"
        if newest is None or newest.product is None:
            return None
        updated_at = newest.product.updated_at
        if updated_at > product.updated_at:
            return f"a newer one lies on products: updated {format_time(updated_at)}"
        if updated_at == product.updated_at and newest.raw != letter.raw and _is_later(newest, letter):
            return "a later one with the same updated_at lies on products"
        return None


def find_newer_products(reader: HistoryReader, product_ids: Collection[str]) -> NewerProducts:
    """Looks through `products` for these."""
    keys = [product_id.encode() for product_id in product_ids]
    return NewerProducts(ranges.of_keys(reader, PRODUCTS, keys))


def _is_later(lying: _TopicProduct, letter: DeadLetter) -> bool:
    """By place where both lay on one partition, else by time."""
    place = letter.place or BEFORE_ALL
    if place.partition == lying.place.partition and place is not BEFORE_ALL:
        return lying.place.offset > place.offset
    return lying.at >= letter.failed_at


# bad: refused today as well. often: has had all its attempts. erased: of somebody who is to be forgotten.
# superseded: something newer lies on the topic. foreign: under another visitor's token.
Kind = Literal["good", "bad", "often", "erased", "superseded", "foreign"]

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
            key, why = (None, read) if isinstance(read, str) else (_key(read), "")
            judged.append(self._judge(letter, why=why, key=key, superseded=superseded))
        return judged

    def by_http(self, letters: Sequence[DeadLetter], ingest: Ingest) -> list[RequeueVerdict]:
        """Letters that go back to ingest."""
        verdicts = ingest.judge(letters)
        newer = self._newer_joins(verdicts)
        judged = []
        for letter, verdict in zip(letters, verdicts, strict=True):
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
        if letter.came_by_http and letter.stage == STAGE_VISITOR:
            return RequeueVerdict(
                letter, "foreign", "it came with another visitor's token, so it may be forged: drop it"
            )
        if letter.attempts >= self.attempts_max:
            return RequeueVerdict(
                letter,
                "often",
                f"it has failed {letter.attempts} times: drop it, or raise --attempts-max",
            )
        if self.as_is:
            return RequeueVerdict(letter, "good", key=letter.key, joined=joined)
        return RequeueVerdict(letter, "bad" if why else "good", why, key, joined)

    def _newer_products(self, product_ids: set[str]) -> NewerProducts:
        if not product_ids:
            return NewerProducts(())
        with self.readers() as reader:
            return find_newer_products(reader, product_ids)

    def _newer_joins(self, verdicts: Sequence[Verdict]) -> dict[str, int]:
        """When `identities` last heard of the visitors that these letters join to a user."""
        visitors = {visitor for verdict in verdicts for visitor in verdict.joins}
        if not visitors:
            return {}
        with self.readers() as reader:
            found = ranges.newest_of_keys(reader, IDENTITIES, [each.encode() for each in visitors])
        heard: dict[str, int] = {}
        for key, message in found.items():
            value = message.value()
            if value is not None:
                heard[key.decode()] = _link_time(value)
        return heard


def _link_time(raw: bytes) -> int:
    try:
        return identities.decode(raw).occurred_at
    except msgspec.MsgspecError:
        return -1


def _event(letter: DeadLetter) -> Event | str:
    if letter.raw is None:
        return "a tombstone is no event"
    try:
        event = events.decode(letter.raw)
    except (msgspec.MsgspecError, RecursionError) as error:
        return str(error)
    return events.check(event) or event


def _product(letter: DeadLetter) -> Product | str:
    if letter.raw is None:
        return "a tombstone whose key is no product_id"
    if len(letter.raw) > MAX_PRODUCT_BYTES:
        return f"a product has at most {MAX_PRODUCT_BYTES} bytes, this one {len(letter.raw)}"
    try:
        return products.decode(letter.raw)
    except (msgspec.MsgspecError, RecursionError) as error:
        return str(error)


def _key(read: Event | Product) -> bytes:
    return (read.visitor_id if isinstance(read, Event) else read.product_id).encode()
