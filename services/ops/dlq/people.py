"""Whom a letter is about, as far as its bytes tell, and whether they are to be forgotten. Pure."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from schemas.events import is_visitor_id
from schemas.identities import visitor_of
from schemas.topics import PRODUCTS_DLQ
from services.history.erased import Erasures
from services.ops.dlq.letters import Letter

VISITORS: Final = ("visitor_id", "anonymousId")
USERS: Final = ("user_id", "userId", "previousId")
ABOUT_MAX: Final = 64  # characters

# What may name a visitor in bytes that are no JSON.
TOKEN: Final = re.compile(rb"[A-Za-z0-9_.:-]{1,64}")


def about(letter: Letter) -> str:
    """The product or the visitor that a letter names, or nothing."""
    told = _json(letter.raw)
    if isinstance(told, dict):
        names = ("product_id",) if letter.id.topic == PRODUCTS_DLQ.name else (*VISITORS, *USERS)
        for name in names:
            if isinstance(told.get(name), str | int) and told[name] != "":
                return str(told[name])[:ABOUT_MAX]
    return (letter.key or b"").decode(errors="replace")[:ABOUT_MAX]


def erased_visitor(letter: Letter, erasures: Erasures, known: Iterable[str] = ()) -> str | None:
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


def _visitors(letter: Letter, told: object) -> Iterator[str]:
    if letter.sender is not None:
        yield letter.sender
    if letter.key is not None:
        yield letter.key.decode(errors="replace")
    if told is not None:
        yield from _named(told)
        return
    for token in TOKEN.findall(letter.raw or b""):
        yield token.decode()
        yield visitor_of(token.decode())


def _named(told: object) -> Iterator[str]:
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


def _json(raw: bytes | None) -> object:
    try:
        return msgspec.json.decode(raw or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
