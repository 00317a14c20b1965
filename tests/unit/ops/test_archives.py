"""Exports and imports without a broker: what is written, what is left when something stops, what is told."""

import fcntl
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import fsspec
import msgspec
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from schemas.events import Event, encode
from schemas.topics import EVENTS, TOPICS
from services.archive import importer
from services.archive.digest import Digest, content
from services.archive.exporter import Parts, missing
from services.archive.importer import ImportJournal, ImportPosition, ImportRun
from services.archive.manifest import ARCHIVED, ArchiveRefused, Source
from services.archive.reader import ArchiveReader, open_archive
from services.archive.rows import ArchivedMessage
from services.archive.store import ArchiveStore
from services.errors import OperationFailed
from services.kafka.ranges import MessageHeaders, Span
from services.model.store import StoreFailed
from services.ops.__main__ import app
from services.progress import Silent
from services.time_range import TimeRange
from services.visitors.erasure import Erasures
from tests.support.archives import DAY, NOON, Topics, empty_archive, export_messages, manifest_of, message

Written = tuple[bytes | None, bytes | None, int, MessageHeaders]


@pytest.fixture
def week() -> list[ArchivedMessage]:
    """Two partitions over seven days."""
    return [
        message(partition, day * 10 + number, NOON + day * DAY + number, value=b"%d" % day)
        for partition in (0, 1)
        for day in range(7)
        for number in range(10)
    ]


# Files


def parts(folder: Path, **limits: int) -> tuple[Parts, list[str]]:
    put: list[str] = []
    folder.mkdir()

    def take(name: str, local: Path) -> None:
        assert local.exists()
        put.append(name)
        target = folder.parent / "put" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(local.read_bytes())

    return Parts(folder, EVENTS, "20261101T000000Z-abcdef", take, **limits), put


def test_few_files_are_open_at_once_and_little_waits(week: list[ArchivedMessage], tmp_path: Path) -> None:
    """Days in no order at all: as a history that somebody has loaded."""
    made, put = parts(tmp_path / "work", open_max=3, waiting_bytes=2_000)
    for each in sorted(week, key=lambda each: (each.timestamp()[1] * 7919) % 1009):
        made.add(each)
        assert len(list((tmp_path / "work").iterdir())) <= 3
        assert made._waiting < 2_000 + 400
        assert made._waiting == sum(part.waiting.size for part in made._open.values())
    files = made.close()
    assert sum(file.rows for file in files) == len(week)
    assert len(files) > 14
    assert sorted(put) == sorted(file.name for file in files) == sorted(set(put))
    assert list((tmp_path / "work").iterdir()) == []


def test_a_file_does_not_grow_for_ever(week: list[ArchivedMessage], tmp_path: Path) -> None:
    made, _ = parts(tmp_path / "work", part_rows=4)
    for each in week:
        made.add(each)
    assert {file.rows for file in made.close()} == {4, 2}


def test_row_groups_are_written_as_they_fill(tmp_path: Path) -> None:
    made, _ = parts(tmp_path / "work", waiting_bytes=10_000)
    for offset in range(100):
        made.add(message(0, offset, value=b"x" * 1_000))
    [file] = made.close()
    assert pq.ParquetFile(tmp_path / "put" / file.name).metadata.num_row_groups > 8
    assert (file.first, file.last, file.rows) == (0, 99, 100)


def test_the_day_is_of_utc(tmp_path: Path) -> None:
    made, put = parts(tmp_path / "work")
    for offset, at in enumerate((NOON - NOON % DAY - 1, NOON - NOON % DAY, NOON - NOON % DAY + DAY)):
        made.add(message(0, offset, at))
    made.close()
    assert [name.partition("/")[0] for name in put] == ["day=2026-10-31", "day=2026-11-01", "day=2026-11-02"]


# Exports


def test_a_second_export_takes_only_what_is_new(week: list[ArchivedMessage], tmp_path: Path) -> None:
    url = empty_archive()
    first = manifest_of(export_messages(url, week, tmp_path, times=TimeRange(NOON + 2 * DAY, NOON + 4 * DAY)))
    assert first.count == 2 * 20
    second = export_messages(url, week, tmp_path)
    assert (manifest_of(second).count, second.already) == (2 * 50, 40)
    third = export_messages(url, week, tmp_path)
    assert (third.made, third.already) == (None, 140)


def test_an_export_that_fails_leaves_nothing(
    week: list[ArchivedMessage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, fs = empty_archive(), fsspec.filesystem("memory")
    before = manifest_of(export_messages(url, week, tmp_path, times=TimeRange(until=NOON + DAY)))
    monkeypatch.setattr(Topics, "read", breaking(Topics.read))
    with pytest.raises(ConnectionResetError):
        export_messages(url, week, tmp_path)
    names = {file.name for file in before.files}
    assert {path.partition("/events/")[2] for path in fs.find(url) if path.endswith(".parquet")} == names
    monkeypatch.undo()
    export_messages(url, week, tmp_path)
    with open_archive(url) as reader:
        assert sum(map(len, reader.read(reader.spans(EVENTS)))) == len(week)


def breaking(read: object) -> object:
    def break_off(self: Topics, spans: Sequence[Span]) -> Iterator[Sequence[ArchivedMessage]]:
        assert callable(read)
        for number, batch in enumerate(read(self, spans)):
            if number == 30:
                raise ConnectionResetError
            yield batch

    return break_off


def test_a_place_that_takes_nothing_is_told_before_the_topic_is_read(
    week: list[ArchivedMessage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Sequence[Span]] = []
    monkeypatch.setattr(Topics, "read", lambda _self, spans: read.append(spans))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreFailed, match=r"archive .*file/archive: .*Not a directory"):
        export_messages(str(tmp_path / "file" / "archive"), week, tmp_path)
    assert read == []


def test_a_topic_that_was_made_anew_is_another(week: list[ArchivedMessage], tmp_path: Path) -> None:
    url = empty_archive()
    export_messages(url, week, tmp_path)
    with pytest.raises(ArchiveRefused, match=r"with the id .*, and shop.events has another.*another folder"):
        export_messages(url, week, tmp_path, source=Source("shop.events", "another"))


def test_two_exports_at_once_are_told(week: list[ArchivedMessage], tmp_path: Path) -> None:
    url = str(tmp_path / "archive")
    export_messages(url, week, tmp_path / "data", times=TimeRange(until=NOON + DAY))
    [lock] = (tmp_path / "data" / "exports").glob("*.lock")
    with lock.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(OperationFailed, match=r"another export of events into .* is under way"):
            export_messages(url, week, tmp_path / "data")
    export_messages(url, week, tmp_path / "data")


def test_another_machines_files_are_told_and_stay(week: list[ArchivedMessage], tmp_path: Path) -> None:
    url = str(tmp_path / "archive")
    export_messages(url, week, tmp_path / "data", times=TimeRange(until=NOON + DAY))
    stray = tmp_path / "archive/events/day=2026-11-01/part-20261101T000000Z-abcdef-p0-00001.parquet"
    stray.write_bytes(b"half")
    assert export_messages(url, week, tmp_path / "data").strays == 1
    assert stray.exists()


def test_what_is_missing_comes_in_turns() -> None:
    spans = [Span("events", 0, 0, 10), Span("events", 1, 5, 10), Span("events", 2, 0, 4)]
    turns = missing(spans, {0: [(2, 4), (6, 8)], 1: [(0, 20)]})
    assert turns == [
        [Span("events", 0, 0, 2), Span("events", 2, 0, 4)],
        [Span("events", 0, 4, 6)],
        [Span("events", 0, 8, 10)],
    ]


# Imports


class Target:
    """A topic in memory, which may go away."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.written: list[Written] = []
        self.acknowledged = 0
        self._room = room

    def write(
        self, topic: str, key: bytes | None, value: bytes | None, *,
        headers: MessageHeaders | None = None, timestamp: int = 0,
    ) -> None:  # fmt: skip
        if len(self.written) == self._room:
            raise ConnectionResetError
        assert topic == "shadow.events"
        self.written.append((key, value, timestamp, headers or []))

    def finish(self) -> None:
        self.acknowledged = len(self.written)


def import_(
    reader: ArchiveReader, target: Target, folder: Path, erasures: Erasures | None = None, every: int = 20
) -> tuple[ImportRun, Digest]:
    spans = reader.spans(EVENTS)
    promised = importer.verify(reader, EVENTS, spans, Silent())
    with ImportJournal(folder, "about") as journal:
        state = ImportRun(EVENTS, "shadow.events", erasures or Erasures(), target, journal.load())
        importer.transfer(reader, spans, state, journal, Silent(), every)
        journal.remove()
    return state, promised


def test_an_import_writes_what_was_exported(
    week: list[ArchivedMessage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, target = empty_archive(), Target()
    monkeypatch.setattr("services.archive.reader.BATCH", 7)
    export_messages(url, week, tmp_path)
    with open_archive(url) as reader:
        state, promised = import_(reader, target, tmp_path)
    assert state.read == promised == state.written
    assert sorted(target.written, key=repr) == sorted(map(content, week), key=repr)


def test_a_stopped_import_goes_on_and_counts_all(
    week: list[ArchivedMessage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = empty_archive()
    monkeypatch.setattr("services.archive.reader.BATCH", 7)
    export_messages(url, week, tmp_path)
    first, second = Target(room=75), Target()
    erasures = Erasures({"v": NOON + 3})
    with open_archive(url) as reader:
        with pytest.raises(ConnectionResetError):
            import_(reader, first, tmp_path, erasures)
        state, promised = import_(reader, second, tmp_path, erasures)
    assert state.read == promised
    assert state.erased == 2 * 4
    assert state.written.count == len(week) - 8
    assert len(second.written) < len(week) - 8  # it did not begin anew
    there = {content(each)[1:3] for each in week if each.timestamp()[1] > NOON + 3}
    assert {each[1:3] for each in first.written + second.written} == there
    assert not list(tmp_path.glob("*.json"))


def test_nothing_is_written_of_a_spoiled_archive(week: list[ArchivedMessage], tmp_path: Path) -> None:
    export_messages(str(tmp_path / "archive"), week, tmp_path)
    last = sorted(tmp_path.glob("archive/events/day=*/*.parquet"))[-1]
    last.write_bytes(last.read_bytes()[::-1])
    target = Target()
    with (
        open_archive(str(tmp_path / "archive")) as reader,
        pytest.raises(ArchiveRefused, match=f"{last.name} is spoiled"),
    ):
        import_(reader, target, tmp_path)
    assert target.written == []


def test_what_is_not_what_the_manifest_counted_does_not_agree(
    week: list[ArchivedMessage], tmp_path: Path
) -> None:
    """Every file is as its manifest says, but for its digest: whatever wrote it was wrong."""
    export_messages(str(tmp_path / "archive"), week, tmp_path)
    [path] = tmp_path.glob("archive/events/_exports/*.json")
    told = msgspec.json.decode(path.read_bytes())
    for each in (told, told["files"][0]):
        each["digest"] = f"{(int(each['digest'], 16) + 1) % (1 << 128):032x}"
    path.write_bytes(msgspec.json.encode(told))
    with open_archive(str(tmp_path / "archive")) as reader:
        state, promised = import_(reader, Target(), tmp_path)
        assert state.read != promised
        file = told["files"][0]
        with pytest.raises(ArchiveRefused, match="are not those that its manifest counts"):
            reader.digest_of([Span("events", file["partition"], file["first"], file["last"])])


def test_a_journal_of_something_else_counts_for_nothing(tmp_path: Path) -> None:
    with ImportJournal(tmp_path, "one") as journal:
        assert journal.load() == ImportPosition()
        journal.keep(ImportPosition(offsets={0: 7}, read=7))
        assert journal.load().offsets == {0: 7}
        with pytest.raises(OperationFailed, match="the same import is under way"):
            ImportJournal(tmp_path, "one")
        [path] = tmp_path.glob("*.json")
    with ImportJournal(tmp_path, "other") as journal:
        assert journal.load() == ImportPosition()
    path.write_bytes(path.read_bytes()[:-3])
    with ImportJournal(tmp_path, "one") as journal:
        assert journal.load() == ImportPosition()
        journal.keep(ImportPosition(offsets={0: 7}, read=7))
    with ImportJournal(tmp_path, "one", anew=True) as journal:
        assert journal.load() == ImportPosition()


def test_erased_visitors_are_left_out_by_all_stamps_of_an_event(tmp_path: Path) -> None:
    def event(number: int, occurred_at: int, received_at: int | None) -> bytes:
        return encode(
            Event(
                event_id=f"00000000-0000-4000-8000-{number:012d}",
                type="view_item",
                visitor_id="gone",
                occurred_at=occurred_at,
                received_at=received_at,
                product_id="p",
            )
        )

    rows = [
        message(0, 0, NOON + 9, key=b"gone", value=event(0, NOON + 9, NOON + 9)),
        message(0, 1, NOON + 9, key=b"gone", value=event(1, NOON, NOON + 9)),
        message(0, 2, NOON + 9, key=b"gone", value=event(2, NOON + 9, NOON)),
        message(0, 3, NOON, key=b"gone", value=event(3, NOON + 9, None)),
        message(0, 4, NOON + 9, key=b"else", value=event(4, NOON, None)),
    ]
    gone = Erasures({"gone": NOON + 1})
    assert manifest_of(export_messages(empty_archive(), rows, tmp_path, erasures=gone)).erased == 4
    url, target = empty_archive(), Target()
    export_messages(url, rows, tmp_path)
    with open_archive(url) as reader:
        state, _ = import_(reader, target, tmp_path, gone)
    assert (state.erased, len(target.written)) == (4, 1)


# Commands


def run(*arguments: str) -> tuple[int, str]:
    found = CliRunner().invoke(app, arguments)
    return found.exit_code, re.sub(r"\s+", " ", found.output)


@pytest.mark.parametrize("command", ["export", "import"])
def test_topics_that_keep_a_state_are_refused(command: str) -> None:
    for topic in TOPICS:
        if topic not in ARCHIVED:
            status, told = run(command, "memory://x", "--topic", topic.name)
            assert status == 2
            assert f"{topic.name} is no history but a state" in told
    status, told = run(command, "memory://x", "--topic", "evnets")
    assert status == 2
    assert "no topic is called 'evnets'; archives hold events, events.dlq, products.dlq, recommen" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["export", "memory://x", "--from", "yesterday"], "--from takes a date"),
        (["export", "memory://x", "--from", "1d", "--to", "2d"], "is not before --to"),
        (["export", "gopher://x"], "archive gopher://x: Protocol not known"),
        (["import", "memory://x", "--as-prefix", "sh dow"], "--as-prefix takes up to 64 letters"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(arguments: list[str], told: str) -> None:
    status, output = run(*arguments)
    assert status == 2
    assert told in output


@pytest.mark.parametrize("command", ["export", "import"])
def test_help_ends_with_an_example(command: str) -> None:
    status, told = run(command, "--help")
    assert status == 0
    assert f"Example: python -m services.ops {command} s3://" in told


def test_a_store_that_does_not_answer_is_told() -> None:
    with pytest.raises(StoreFailed, match=r"archive http://127.0.0.1:9/archive"):
        ArchiveStore("http://127.0.0.1:9/archive").manifests(EVENTS)
