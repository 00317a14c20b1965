"""Spans of messages, named and described by OpenTelemetry's conventions for messaging and Kafka.

Never the message's key, as those conventions would have it: it is the visitor's id.
"""

from collections.abc import Mapping
from typing import Final

from schemas.traces import TRACEPARENT
from services.clock import now_ms
from services.tracing.port import Kind, Span, Tracer

SYSTEM: Final = "messaging.system"
OPERATION: Final = "messaging.operation.name"
OPERATION_TYPE: Final = "messaging.operation.type"
DESTINATION: Final = "messaging.destination.name"
PARTITION: Final = "messaging.destination.partition.id"
OFFSET: Final = "messaging.kafka.offset"
MESSAGE_ID: Final = "messaging.message.id"
BATCH_COUNT: Final = "messaging.batch.message_count"

KAFKA: Final = "kafka"


def begin_send(span: Span, topic: str, message_id: str | None = None, *, count: int = 1) -> Span:
    """Messages are on their way to a topic; it ends when the broker has them."""
    sent = span.child(
        f"send {topic}",
        Kind.PRODUCER,
        {SYSTEM: KAFKA, OPERATION: "send", OPERATION_TYPE: "send", DESTINATION: topic},
    )
    if message_id is not None:
        sent.set({MESSAGE_ID: message_id})
    if count > 1:
        sent.set({BATCH_COUNT: count})
    return sent


def follow_message(
    tracer: Tracer,
    headers: Mapping[str, bytes | None],
    place: tuple[str, int, int],
    *,
    written_at: float,
    within_ms: float,
) -> Span | None:
    """A message at this topic, partition and offset is being processed, written then (Unix ms).

    None where its trace is not recorded, or it has none; and where it was written longer ago: what a start
    reads, or an import brings, is another story.
    """
    if not tracer.is_on or (traceparent := headers.get(TRACEPARENT)) is None:
        return None
    if now_ms() - written_at > within_ms:
        return None
    topic, partition, offset = place
    span = tracer.follow(f"process {topic}", Kind.CONSUMER, traceparent)
    if span is not None:
        span.set(
            {
                SYSTEM: KAFKA,
                OPERATION: "process",
                OPERATION_TYPE: "process",
                DESTINATION: topic,
                PARTITION: str(partition),
                OFFSET: offset,
            }
        )
    return span
