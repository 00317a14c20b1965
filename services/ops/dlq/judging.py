"""Whether a dead letter may be put back, and if not, why."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from schemas import events, identities, products
from schemas.deadletters import Verdict
from schemas.events import Event
from schemas.products import MAX_PRODUCT_BYTES, Product
from schemas.topics import IDENTITIES, PRODUCTS_DLQ
from services.history import lookup
from services.history.erased import Erasures
from services.ops.dlq import catalogue
from services.ops.dlq.ingest import Ingest
from services.ops.dlq.letters import Letter
from services.ops.dlq.people import erased_visitor
from services.ops.dlq.reading import Readers

# bad: refused today as well. often: has had all its attempts. erased: of somebody who is to be forgotten.
# superseded: something newer lies on the topic. foreign: under another visitor's token.
Kind = Literal["good", "bad", "often", "erased", "superseded", "foreign"]

STAGE_VISITOR: Final = "visitor"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is said of a letter: the key it goes under on its topic, or in a sentence why it stays."""

    letter: Letter
    kind: Kind
    why: str = ""
    key: bytes | None = None
    joined: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges letters. With `as_is` it does not matter whether today's code would take them."""

    readers: Readers
    erasures: Erasures
    attempts_max: int
    as_is: bool = False

    def on_topic(self, letters: Sequence[Letter]) -> list[Judgement]:
        """Letters of messages that lay on a topic."""
        made = {letter.id: _product(letter) for letter in letters if letter.id.topic == PRODUCTS_DLQ.name}
        found = {each.product_id for each in made.values() if isinstance(each, Product)}
        overtaking = self._overtaking(found)
        judged = []
        for letter in letters:
            read = made[letter.id] if letter.id in made else _event(letter)
            superseded = overtaking.of(letter, read) if isinstance(read, Product) else None
            key, why = (None, read) if isinstance(read, str) else (_key(read), "")
            judged.append(self._judged(letter, why=why, key=key, superseded=superseded))
        return judged

    def by_http(self, letters: Sequence[Letter], ingest: Ingest) -> list[Judgement]:
        """Letters that go back to ingest."""
        verdicts = ingest.judge(letters)
        newer = self._newer_joins(verdicts)
        judged = []
        for letter, verdict in zip(letters, verdicts, strict=True):
            is_bad = bool(verdict.reasons) and not (letter.is_whole_body and verdict.accepted)
            why = verdict.reasons[0] if is_bad else ""
            joined = tuple(each for each, at in verdict.joins.items() if newer.get(each, -1) > at)
            judged.append(self._judged(letter, why=why, known=verdict.visitors, joined=joined))
        return judged

    def _judged(
        self,
        letter: Letter,
        *,
        why: str,
        key: bytes | None = None,
        superseded: str | None = None,
        known: Sequence[str] = (),
        joined: tuple[str, ...] = (),
    ) -> Judgement:
        if visitor_id := erased_visitor(letter, self.erasures, known):
            return Judgement(letter, "erased", f"visitor {visitor_id} is to be forgotten: drop it")
        if superseded is not None:
            return Judgement(letter, "superseded", f"{superseded}: drop it")
        if letter.came_by_http and letter.stage == STAGE_VISITOR:
            return Judgement(
                letter, "foreign", "it came with another visitor's token, so it may be forged: drop it"
            )
        if letter.attempts >= self.attempts_max:
            return Judgement(
                letter,
                "often",
                f"it has failed {letter.attempts} times: drop it, or raise --attempts-max",
            )
        if self.as_is:
            return Judgement(letter, "good", key=letter.key, joined=joined)
        return Judgement(letter, "bad" if why else "good", why, key, joined)

    def _overtaking(self, product_ids: set[str]) -> catalogue.Overtaking:
        if not product_ids:
            return catalogue.Overtaking(())
        with self.readers() as reader:
            return catalogue.overtaking(reader, product_ids)

    def _newer_joins(self, verdicts: Sequence[Verdict]) -> dict[str, int]:
        """When `identities` last heard of the visitors that these letters join to a user."""
        visitors = {visitor for verdict in verdicts for visitor in verdict.joins}
        if not visitors:
            return {}
        with self.readers() as reader:
            found = lookup.newest(reader, IDENTITIES, [each.encode() for each in visitors])
        heard: dict[str, int] = {}
        for key, message in found.items():
            value = message.value()
            if value is not None:
                heard[key.decode()] = _joined_at(value)
        return heard


def _joined_at(raw: bytes) -> int:
    try:
        return identities.decode(raw).occurred_at
    except msgspec.MsgspecError:
        return -1


def _event(letter: Letter) -> Event | str:
    if letter.raw is None:
        return "a tombstone is no event"
    try:
        event = events.decode(letter.raw)
    except (msgspec.MsgspecError, RecursionError) as error:
        return str(error)
    return events.check(event) or event


def _product(letter: Letter) -> Product | str:
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
