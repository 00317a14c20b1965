"""Puts letters back or drops them: first the message is acknowledged, then its mark.

Killed between the two, a letter is put back once more, which changes nothing: an event is known by its id, a
product by its bytes.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Final

from schemas import deadletters
from schemas.deadletters import Outcome
from schemas.topics import EVENTS, EVENTS_DLQ, PRODUCTS, Topic
from services.clock import now_ms
from services.kafka.clients import AcknowledgedProducer, NotDelivered, OutgoingMessage, producer_config
from services.kafka.writer import LINGER_MS, PATIENCE_MS, BulkWriter
from services.ops.dead_letters.ingest import Ingest, connect
from services.ops.dead_letters.letter import BY_NAME, DeadLetter, Selection
from services.ops.dead_letters.query import DeadLetterRange, Readers, letters
from services.ops.dead_letters.report import Done
from services.ops.dead_letters.verdicts import RequeuePolicy, RequeueVerdict
from services.ops.settings import OpsSettings
from services.progress import Progress

AT_ONCE: Final = 500  # letters between two marks: what is done twice at most after a kill


def open_letters(
    readers: Readers, piles: Iterable[DeadLetterRange], selection: Selection, progress: Progress, stage: str
) -> Iterator[list[DeadLetter]]:
    """All that are meant and open, in small batches of one topic."""
    for pile in piles:
        if len(pile):
            progress.stage(f"{stage} {pile.topic.name}", len(pile))
        for read, found in letters(readers, pile, selection):
            for start in range(0, len(found), AT_ONCE):
                yield [each.letter for each in found[start : start + AT_ONCE]]
            progress.advance(read)


class RequeueRun:
    """Puts letters back, one batch after the other; used as a context manager.

    Ingest is needed only where a letter came by HTTP. Raises Unanswered and NotDelivered.
    """

    def __init__(
        self, settings: OpsSettings, judge: RequeuePolicy, writer: BulkWriter, *, dry_run: bool
    ) -> None:
        self._settings = settings
        self._judge = judge
        self._writer = writer
        self._dry_run = dry_run
        # Waits for each batch: only what the broker has is marked.
        self._producer = AcknowledgedProducer(
            producer_config(settings, linger_ms=LINGER_MS, timeout_ms=PATIENCE_MS)
        )
        self._stack = ExitStack()
        self._stack.callback(self._producer.close)
        self._ingest: Ingest | None = None
        self.done = Done(dry_run=dry_run)

    def __enter__(self) -> "RequeueRun":
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def take(self, some: Sequence[DeadLetter]) -> None:
        """Letters of one topic: what is good is on its way and marked when this returns."""
        self._write_back([each for each in some if not each.came_by_http])
        self._send_again([each for each in some if each.came_by_http])

    def _write_back(self, some: Sequence[DeadLetter]) -> None:
        good = self._good(self._judge.on_topic(some)) if some else []
        self.done.requeued += len(good)
        if self._dry_run or not good:
            return
        topic = EVENTS if good[0].letter.id.topic == EVENTS_DLQ.name else PRODUCTS
        messages: list[OutgoingMessage] = [
            (each.key, each.letter.raw, [deadletters.attempts_header(each.letter.attempts + 1)])
            for each in good
        ]
        refused: dict[int, str] = {}
        try:
            asyncio.run(self._producer.send_all(self._settings.topic(topic), messages))
        except NotDelivered as error:
            if not error.is_final:
                raise
            refused = error.refused
        for place, why in refused.items():
            self.done.requeued -= 1
            self.done.stays(replace(good[place], kind="bad", why=f"Kafka refuses it for good: {why}"))
        written = [each.letter for place, each in enumerate(good) if place not in refused]
        mark(self._settings, self._writer, written, "requeued")

    def _send_again(self, some: Sequence[DeadLetter]) -> None:
        if not some:
            return
        good = self._good(self._judge.by_http(some, self._connect()))
        if self._dry_run or not good:
            self.done.requeued += len(good)
            return
        sent = [each.letter for each in good]
        for letter, verdict in zip(
            sent, self._connect().take(sent, [each.joined for each in good]), strict=True
        ):
            refused = bool(verdict.reasons) and not (letter.is_whole_body and verdict.accepted)
            self.done.refused_again += refused
            self.done.requeued += not refused
        mark(self._settings, self._writer, sent, "requeued")

    def _good(self, judged: Iterable[RequeueVerdict]) -> list[RequeueVerdict]:
        good = []
        for each in judged:
            if each.kind == "good":
                good.append(each)
            else:
                self.done.stays(each)
        return good

    def _connect(self) -> Ingest:
        if self._ingest is None:
            self._ingest = self._stack.enter_context(
                connect(self._settings.ingest_url, self._settings.api_key)
            )
        return self._ingest


def mark(settings: OpsSettings, writer: BulkWriter, some: Sequence[DeadLetter], outcome: Outcome) -> None:
    """Marks letters as handled; the broker has the marks when this returns. Raises NotDelivered."""
    for letter in some:
        topic: Topic = BY_NAME[letter.id.topic]
        attempts = letter.attempts + (outcome == "requeued")
        key, headers = deadletters.mark(letter.id, outcome, at=int(now_ms()), attempts=attempts)
        writer.write(settings.topic(topic), key, None, headers=[*headers], partition=letter.id.partition)
    writer.finish()
