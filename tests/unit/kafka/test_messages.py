"""Every reader of every topic lives with whatever lies there, counts it, and goes on with what is good."""

from typing import Any, cast

import pytest
from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from prometheus_client import CollectorRegistry, Counter
from structlog.testing import capture_logs

from schemas import sessions, vectors
from schemas.sessions import Session
from schemas.topics import (
    ERASURES,
    IDENTITIES,
    PRODUCT_VECTORS,
    PRODUCTS,
    RULES,
    TOPICS,
    Topic,
)
from schemas.unreadable import Unreadable
from services.archive.history_events import HISTORY_EVENT
from services.archive.rows import event_fields, leaves_out
from services.kafka import messages
from services.kafka.messages import (
    MessageReader,
    MessageType,
    decode,
    header_count,
    header_ms,
    header_text,
    newest_of_topic,
    sessions_of,
    vectors_of,
)
from services.ops.dead_letters.letter import about, find_erased_visitor, letter_of
from services.ops.experiments import attribution
from services.settings import ServiceSettings
from services.visitors import erasure, identity_graph
from services.visitors.erasure import Erasures
from tests.support import odd_bytes
from tests.support.examples import examples
from tests.support.messages import StoredMessage, TopicReader
from tests.support.odd_bytes import ANY_VALUE, HEADERS
from tests.support.sessions import LAYOUT

TYPES: list[MessageType[Any]] = [
    *(each for each in vars(messages).values() if isinstance(each, MessageType)),
    vectors_of(LAYOUT),
    sessions_of(LAYOUT),
    HISTORY_EVENT,
    attribution.EVENT,
    attribution.ROW,
]
# How wide a vector has to be only a reader with a layout can tell.
STRICT = [each for each in TYPES if each not in (messages.PRODUCT_VECTOR, messages.SESSION)]
ANY_HEADER = st.none() | st.binary() | st.from_regex(r"[0-9.einf+-]{1,20}").map(str.encode)


def name_of(kind: MessageType[Any]) -> str:
    return f"{kind.topic.name}-{TYPES.index(kind)}"


def store(topic: Topic) -> list[StoredMessage]:
    return [
        StoredMessage(key, value, headers, topic=topic.name, offset=offset, at=1_700_000_000_000)
        for offset, (key, value, headers) in enumerate(odd_bytes.messages(topic, LAYOUT))
    ]


def good(topic: Topic) -> StoredMessage:
    return StoredMessage(*odd_bytes.good(topic, LAYOUT), topic=topic.name, at=1_700_000_000_000)


def test_every_topic_of_messages_is_read_so() -> None:
    assert {kind.topic for kind in TYPES} == {topic for topic in TOPICS if topic.encoding != "raw"}


@pytest.mark.parametrize("kind", TYPES, ids=name_of)
def test_a_good_message_is_read(kind: MessageType[Any]) -> None:
    found = decode(kind, good(kind.topic))
    assert not isinstance(found, Unreadable)
    assert found.value is not None
    assert found.key.encode() == found.message.key()


@pytest.mark.parametrize("kind", STRICT, ids=name_of)
def test_what_is_no_message_has_a_reason_that_groups_and_may_be_shown(kind: MessageType[Any]) -> None:
    for message in store(kind.topic):
        found = decode(kind, message)
        assert isinstance(found, Unreadable), (message.key(), message.value())
        assert str(found).isprintable()
        assert 0 < len(str(found)) <= 500
        assert "0x" not in str(found)


@pytest.mark.parametrize("kind", TYPES, ids=name_of)
@examples(25)
@given(key=st.none() | st.binary(max_size=40), value=st.none() | ANY_VALUE)
def test_no_bytes_raise(kind: MessageType[Any], key: bytes | None, value: bytes | None) -> None:
    found = decode(kind, StoredMessage(key, value))
    assert isinstance(found, Unreadable) or found.key.encode() == key


@pytest.mark.parametrize("kind", TYPES, ids=name_of)
@examples(25)
@given(data=st.data())
def test_a_good_message_with_a_few_other_bytes_raises_nothing(
    kind: MessageType[Any], data: st.DataObject
) -> None:
    key, value = odd_bytes.good(kind.topic, LAYOUT)
    changed = bytearray(value)
    for place in data.draw(st.lists(st.integers(0, len(value) - 1), min_size=1, max_size=4)):
        changed[place] = data.draw(st.integers(0, 255))
    decode(kind, StoredMessage(key, bytes(changed[: data.draw(st.integers(0, len(value)))])))


def test_behind_a_message_that_cannot_be_read_the_one_before_it_counts() -> None:
    key, value = odd_bytes.good(PRODUCTS)
    reader = MessageReader()
    found = reader.newest(
        messages.PRODUCT,
        [StoredMessage(key, value), StoredMessage(b"gone", None), StoredMessage(key, b"rubbish")],
    )
    assert [(each.key, each.raw) for each in found] == [(key.decode(), value), ("gone", None)]
    assert reader.counts == {"products": 1}


def test_what_is_left_out_is_counted_by_topic_and_told_now_and_then() -> None:
    registry, now = CollectorRegistry(), [0.0]
    counter = Counter("unreadable", "of the test", ["topic"], registry=registry)
    reader = MessageReader(counter, clock=lambda: now[0])
    with capture_logs() as logs:
        for _ in range(1_000):
            reader.read(messages.RULE, StoredMessage(b"r", b"rubbish", topic="rules", offset=3))
            now[0] += 0.05
    assert registry.get_sample_value("unreadable_total", {"topic": "rules"}) == 1_000
    assert [each["others_since"] for each in logs] == [0, 599]
    assert logs[0]["place"] == "rules/0/3"


def test_a_topics_newest_are_messages_or_reasons() -> None:
    key, value = odd_bytes.good(RULES)
    lying = [
        StoredMessage(key, value),
        StoredMessage(b"other", value),
        StoredMessage(b"gone", None),
        *store(RULES),
    ]
    found = newest_of_topic(TopicReader(rules=lying), messages.RULE)
    assert isinstance(found["other"], Unreadable)
    assert "gone" not in found
    assert list(found) == sorted(found)


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
def test_a_header_that_is_no_time_is_none(headers: list[tuple[str, bytes | None]]) -> None:
    told = dict(headers)
    for name in told:
        assert header_ms(told, name) is None
        assert header_count(told, name) == 0


@given(
    st.dictionaries(
        st.just("h"), st.none() | st.binary() | st.from_regex(r"[0-9.einf+-]{1,20}").map(str.encode)
    )
)
def test_no_header_raises(told: dict[str, bytes | None]) -> None:
    at = header_ms(told, "h")
    assert at is None or 0 <= at <= 4_102_444_800_000
    assert header_count(told, "h") >= 0
    header_text(told, "h")


class HalfReadMessage:
    """As confluent_kafka's, where a header's name is no text: the second reading would end the process."""

    def __init__(self) -> None:
        self._headers: object = None

    def headers(self) -> object:
        if self._headers is None:
            self._headers = "half made"
            raise SystemError("returned a result with an exception set")
        return self._headers

    def set_headers(self, headers: object) -> None:
        self._headers = headers


def test_headers_whose_names_are_no_text_are_none_however_often_they_are_read() -> None:
    message = cast(Message, HalfReadMessage())
    assert messages.headers_by_name(message) == {}
    assert messages.headers_by_name(message) == {}


def test_erasures_and_joins_are_read_whole_whatever_lies_between() -> None:
    lying = {topic.name: [*store(topic), good(topic), *store(topic)] for topic in (ERASURES, IDENTITIES)}
    reader = TopicReader(**lying)
    erased = erasure.read(reader)
    key, _ = odd_bytes.good(ERASURES)
    assert key.decode() in erased.until
    assert erased.unreadable > 0
    graph, unreadable = identity_graph.read(reader, ServiceSettings())
    key, _ = odd_bytes.good(IDENTITIES)
    assert graph.identity(key.decode()) is not None
    assert unreadable == 2 * len(store(IDENTITIES))


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_archives_and_dead_letters_take_anything(topic: Topic) -> None:
    erasures = Erasures({"v": 1})
    for message in store(topic):
        event_fields(message.value())
        leaves_out(erasures, topic, message)
        letter = letter_of(message, topic)
        about(letter)
        find_erased_visitor(letter, erasures)


def test_a_session_of_another_layout_is_read_by_its_events() -> None:
    other = replace(Session("v"), layout="v0/other", vector=b"x")
    found = decode(sessions_of(LAYOUT), StoredMessage(b"v", sessions.encode(other)))
    assert not isinstance(found, Unreadable)


def test_vectors_of_another_layout_are_read() -> None:
    """They mean that the settings are wrong, which stops a service with a sentence."""
    made = replace(
        vectors.decode(odd_bytes.good(PRODUCT_VECTORS, LAYOUT)[1]), layout="v1/text:3", content=b"xx"
    )
    assert vectors_of(LAYOUT).decode(vectors.encode(made)).layout == "v1/text:3"
