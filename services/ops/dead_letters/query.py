"""Reads the topics of dead letters: first the marks, then the letters; memory is a byte a letter."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Final

from schemas.deadletters import Outcome, parse_mark
from schemas.topics import Topic
from services.kafka.ranges import HistoryReader, Span, TopicMessage, headers_of
from services.ops.dead_letters.letter import BY_NAME, DeadLetter, NoSuchLetter, Selection, letter_of
from services.progress import Progress, track
from services.time_range import TimeRange

# A reader for each pass: one that has read a partition to its end has paused it for good.
Readers = Callable[[], AbstractContextManager[HistoryReader]]

OPEN: Final = 0
MARK: Final = 3  # a message that is itself a mark
STATES: Final[dict[int, Outcome | None]] = {OPEN: None, 1: "requeued", 2: "dropped"}
CODES: Final[dict[Outcome, int]] = {"requeued": 1, "dropped": 2}


@dataclass(slots=True)
class Marks:
    """What is said of the letters of one topic, by partition, from the first one that is asked for."""

    spans: Sequence[Span]
    _codes: dict[int, bytearray] = field(init=False)
    _starts: dict[int, int] = field(init=False)

    def __post_init__(self) -> None:
        self._codes = {span.partition: bytearray(len(span)) for span in self.spans}
        self._starts = {span.partition: span.start for span in self.spans}

    def note(self, message: TopicMessage, topic: Topic) -> None:
        """Takes a message, which may be a mark."""
        key = message.key()
        if key is None or message.value() is not None or not key.startswith(topic.name.encode()):
            return
        found = parse_mark(headers_of(message))
        if found is not None:
            letter, outcome = found
            self._set(message.partition() or 0, message.offset() or 0, MARK)
            if letter.topic == topic.name:
                self._set(letter.partition, letter.offset, CODES[outcome])

    def code(self, partition: int, offset: int) -> int:
        """What is known of the message at this place."""
        return self._codes[partition][offset - self._starts[partition]]

    def _set(self, partition: int, offset: int, code: int) -> None:
        codes, at = self._codes.get(partition), offset - self._starts.get(partition, 0)
        if codes is not None and 0 <= at < len(codes):
            codes[at] = code


@dataclass(frozen=True, slots=True)
class Found:
    """A letter, and what was done with it; None: it is open."""

    letter: DeadLetter
    outcome: Outcome | None


@dataclass(slots=True)
class DeadLetterRange:
    """One topic's letters that lay there when it was looked at: what comes later is not read."""

    topic: Topic
    wanted: list[Span]
    marks: Marks

    def __len__(self) -> int:
        return sum(map(len, self.wanted))


def find_range(
    readers: Readers, topic: Topic, selection: Selection, times: TimeRange, progress: Progress
) -> DeadLetterRange:
    """Reads the marks behind the letters that are meant. `times`: when the broker took them."""
    with readers() as reader:
        whole = reader.spans(topic)
        wanted = reader.spans(topic, times)
        if selection.ids:
            wanted = [_around(span, selection) for span in wanted]
        starts = {span.partition: span.start for span in wanted if len(span)}
        behind = [replace(span, start=starts[span.partition]) for span in whole if span.partition in starts]
        marks = Marks(behind)
        if behind:
            stage = f"reading what was handled of {topic.name}"
            for message in track(reader.read(behind), progress, stage, sum(map(len, behind))):
                marks.note(message, topic)
    return DeadLetterRange(topic, wanted, marks)


def letters(
    readers: Readers, found: DeadLetterRange, selection: Selection, *, everything: bool = False
) -> Iterator[tuple[int, list[Found]]]:
    """The letters that are meant, in batches, each with how many messages were read for it.

    Those that were handled are left out, unless `everything` is asked for.
    """
    with readers() as reader:
        for messages in reader.read(found.wanted):
            batch = []
            for message in messages:
                code = found.marks.code(message.partition() or 0, message.offset() or 0)
                if code == MARK or (code != OPEN and not everything):
                    continue
                letter = letter_of(message, found.topic)
                if selection.fits(letter):
                    batch.append(Found(letter, STATES[code]))
            yield len(messages), batch


def one(readers: Readers, selection: Selection, progress: Progress) -> Found:
    """The one letter that is named. Raises NoSuchLetter where it lies there no more."""
    [wanted] = selection.ids
    found = find_range(readers, BY_NAME[wanted.topic], selection, TimeRange(), progress)
    for _, batch in letters(readers, found, selection, everything=True):
        for each in batch:
            return each
    raise NoSuchLetter(f"no letter lies at {wanted}: it has aged out, or there never was one")


def _around(span: Span, selection: Selection) -> Span:
    """As much of a span as the ids that are meant lie in."""
    offsets = [each.offset for each in selection.ids if each.partition == span.partition]
    offsets = [offset for offset in offsets if span.start <= offset < span.end]
    if not offsets:
        return replace(span, end=span.start)
    return replace(span, start=min(offsets), end=max(offsets) + 1)
