"""What lies on topics and should not: keys, values and headers that are no messages of ours."""

from collections.abc import Iterator
from math import nan
from typing import Final

import msgspec
import pytest
from aiokafka.producer import message_accumulator, producer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas import directions, products, sessions, vectors
from schemas.jsonschema import FOLDER
from schemas.sessions import Interest, Session, SessionEvent
from schemas.topics import (
    ERASURES,
    EVENTS,
    EXPERIMENTS,
    IDENTITIES,
    MODELS,
    PRODUCT_VECTORS,
    PRODUCTS,
    RECOMMENDATIONS,
    RULES,
    SESSIONS,
    Topic,
)
from schemas.vectors import Layout, ProductVectors
from services.kafka.ranges import MessageHeaders
from services.settings import ServiceSettings

LATIN_1: Final = "é".encode("latin-1")

# Bytes that once ended a service, or whose kind did: whatever the topic, none of them is a message.
VALUES: Final[dict[str, bytes]] = {
    "nothing": b"",
    "a NUL": b"\0",
    "no JSON": b"rubbish",
    "half an object": b'{"event_id": "',
    "Latin-1": b'{"visitor_id": "' + LATIN_1 + b'"}',
    "UTF-16": '{"visitor_id": "v"}'.encode("utf-16"),
    "half an emoji": rb'{"visitor_id": "\ud83d"}',
    "deeply nested": b'{"unknown": ' * 10_000,
    "deeply nested and closed": b'{"unknown": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "a list": b"[]",
    "a number that no machine has": b'{"updated_at": ' + b"9" * 5_000 + b"}",
    "no number": b'{"price": NaN}',
    "too many items for any memory": b"\x92\xa1v\xdd\xff\xff\xff\xff",
    "too long a text for any memory": b"\x91\xdb\xff\xff\xff\xff",
    "MessagePack, deeply nested": b"\x81\xa7unknown" + b"\x91" * 20_000,
    "MessagePack, Latin-1": b"\x91\xa1" + LATIN_1,
    "terminal escapes": b"\x1b]0;owned\x07\x1b[2J",
}
KEYS: Final[dict[str, bytes | None]] = {
    "none": None,
    "empty": b"",
    "Latin-1": LATIN_1,
    "a NUL": b"\0",
    "another's": b"somebody-else",
    "terminal escapes": b"\x1b[31mred",
    "long": b"x" * 5_000,
}
HEADERS: Final[dict[str, MessageHeaders]] = {
    "a date in letters": [("accepted_at", b"2026-11-28T10:00:00Z"), ("folded_at", b"yesterday")],
    "nan": [("accepted_at", b"nan"), ("folded_at", b"nan"), ("erased_at", b"nan")],
    "infinite": [("accepted_at", b"inf"), ("folded_at", b"-inf"), ("erased_at", b"1e400")],
    "null": [("accepted_at", None), ("folded_at", None), ("caused_by", None), ("erased_at", None)],
    "Latin-1": [("accepted_at", LATIN_1), ("caused_by", LATIN_1), ("attempts", LATIN_1)],
    "huge": [("accepted_at", b"9" * 400), ("attempts", b"9" * 400), ("events_removed", b"-1")],
    "twice": [("accepted_at", b"1"), ("accepted_at", b"\xff")],
}


EXAMPLES: Final = FOLDER.parent / "examples"
_FILES: Final = {
    EVENTS: ("view_item", "visitor_id"),
    PRODUCTS: ("product", "product_id"),
    MODELS: ("model_release", "name"),
    RECOMMENDATIONS: ("shown", "visitor_id"),
    ERASURES: ("erasure", "visitor_id"),
    IDENTITIES: ("identity", "visitor_id"),
    RULES: ("rule", "rule_id"),
    EXPERIMENTS: ("experiment", "name"),
}


def good(topic: Topic, layout: Layout | None = None) -> tuple[bytes, bytes]:
    """Key and value of a message that does lie on a topic."""
    if topic == SESSIONS:
        return b"v", sessions.encode(Session("v"))
    if topic == PRODUCT_VECTORS:
        product = products.decode((EXAMPLES / "product.json").read_bytes())
        laid_out = layout or ServiceSettings().layout
        content = bytes(2 * laid_out.width)
        made = ProductVectors(product=product, layout=laid_out.id, content=content, hashes={}, models={})
        return product.product_id.encode(), vectors.encode(made)
    if topic not in _FILES:  # dead letters take anything
        return b"v", b"{}"
    name, key = _FILES[topic]
    value = (EXAMPLES / f"{name}.json").read_bytes()
    return str(msgspec.json.decode(value)[key]).encode(), value


Odd = tuple[bytes | None, bytes | None, MessageHeaders]


def messages(topic: Topic, layout: Layout | None = None) -> Iterator[Odd]:
    """Keys, values and headers to put on a topic: none is a message of it."""
    key, value = good(topic, layout)
    for odd in VALUES.values():
        yield key, odd, []
    for other in KEYS.values():
        yield other, value, []
    yield None, None, []
    yield LATIN_1, None, []
    for headers in HEADERS.values():
        yield key, value[: len(value) // 2], headers
    if topic == SESSIONS:
        yield from ((b"v", each, []) for each in _odd_sessions(layout))
    if topic == PRODUCT_VECTORS:
        found = vectors.decode(value)
        for content in (b"", b"\0", found.content[:-2], b"\xff" * len(found.content)):
            yield key, vectors.encode(replace(found, content=content)), []


def _odd_sessions(layout: Layout | None) -> Iterator[bytes]:
    """Well-formed ones that would end who computes with them."""
    form = directions.form(layout or ServiceSettings().layout)
    event = SessionEvent(1_700_000_000_000, bytes(16), "p", 1)
    for events in (
        (replace(event, kind=-1),),
        (replace(event, occurred_at=-(10**15)),),
    ):
        yield sessions.encode(Session("v", events))
    yield sessions.encode(Session("v", (event,), missing=(7,)))
    yield sessions.encode(Session("v", (event,), form, b"xyz"))
    interest = Interest("Shoes", 1.0, b"", 5)
    yield sessions.encode(Session("v", (event,), form, interests=(interest,)))
    yield sessions.encode(Session("v", (event,), form, interests=(replace(interest, event=0, weight=nan),)))
    yield sessions.encode(Session("v", (event,), form, interests=(replace(interest, event=0, vector=b"x"),)))


# Bytes that nobody has thought of: any, JSON and MessagePack of anything, and such cut short.
_ANYTHING: Final = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
ANY_VALUE: Final = st.binary(max_size=200) | st.builds(
    lambda encode, value, end: encode(value)[: None if end is None else end],
    st.sampled_from([msgspec.json.encode, msgspec.msgpack.encode]),
    _ANYTHING,
    st.none() | st.integers(0, 50),
)


class _Latin1(str):
    """A header's name, written as no Java client writes it but librdkafka does."""

    def encode(self, *_: str) -> bytes:
        return super().encode("latin-1")


async def send_latin_1_header(settings: ServiceSettings, topic: str, key: bytes, value: bytes) -> None:
    """Sends a message with a header whose name is no UTF-8."""
    with pytest.MonkeyPatch.context() as patch:  # the compiled writer takes only what is a str and no more
        for module in (message_accumulator, producer):
            patch.setattr(module, "DefaultRecordBatchBuilder", _DefaultRecordBatchBuilderPy)
        sender = producer.AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap)
        await sender.start()
        try:
            await sender.send_and_wait(topic, value, key, headers=[(_Latin1("é"), b"1"), ("null", None)])
        finally:
            await sender.stop()
