"""An archive is read as the topic was, however often and in whatever pieces it was exported."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import fsspec
import msgspec
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Event, Item, encode
from schemas.topics import EVENTS, RECOMMENDATIONS
from services.archive import reader as archive
from services.archive.digest import Digest, content
from services.archive.manifest import ArchiveRefused, without
from services.archive.reader import ArchiveReader, open_archive
from services.archive.rows import ArchivedMessage
from services.archive.store import ArchiveStore
from services.kafka.ranges import Span
from services.model.store import StoreFailed
from services.time_range import TimeRange
from services.visitors.erasure import Erasures
from tests.support.archives import DAY, NOON, Topics, empty_archive, export_messages, manifest_of, message
from tests.support.examples import examples

Fact = tuple[int, int, object]


def facts(messages: Sequence[ArchivedMessage]) -> list[Fact]:
    """All that there is to a message."""
    return [(each.partition(), each.offset(), content(each)) for each in messages]


def read(reader: ArchiveReader, times: TimeRange | None = None) -> list[ArchivedMessage]:
    return [each for batch in reader.read(reader.spans(EVENTS, times or TimeRange())) for each in batch]


def digest(messages: Sequence[ArchivedMessage]) -> Digest:
    found = Digest()
    for each in messages:
        found.add(each)
    return found


@dataclass(frozen=True)
class Drawn:
    """A topic: some partitions with messages of some days, now and then one that came late."""

    messages: list[ArchivedMessage]


@st.composite
def topics(draw: st.DrawFn) -> Drawn:
    messages = []
    for partition in range(draw(st.integers(1, 3))):
        offset, at = 0, NOON
        for _ in range(draw(st.integers(1, 12))):
            offset += draw(st.integers(1, 3))  # some offsets are gone
            at += draw(st.sampled_from([0, 1, DAY // 3, DAY, -DAY // 2, -DAY]))
            messages.append(
                message(
                    partition,
                    offset - 1,
                    at,
                    key=draw(st.none() | st.binary(max_size=4)),
                    value=draw(st.none() | st.binary(max_size=4)),
                    headers=draw(
                        st.lists(
                            st.tuples(st.text(max_size=3), st.none() | st.binary(max_size=3)), max_size=2
                        )
                    ),
                )
            )
    return Drawn(messages)


ends = st.none() | st.integers(-4, 16).map(lambda thirds: NOON + thirds * DAY // 3)
ranges = st.builds(
    lambda a, b: TimeRange(a, b) if a is None or b is None else TimeRange(min(a, b), max(a, b) + 1),
    ends,
    ends,
)


@examples(30)
@given(topics(), st.lists(ranges, max_size=3), ranges)
def test_after_any_exports_every_message_is_there_once_in_its_order_and_as_it_was(
    drawn: Drawn, before: list[TimeRange], wanted: TimeRange
) -> None:
    broker, url = Topics(drawn.messages), empty_archive()
    with TemporaryDirectory() as folder, open_archive(url) as reader:
        for times in [*before, TimeRange()]:
            export_messages(url, drawn.messages, Path(folder), times=times)
        assert sorted(facts(read(reader)), key=repr) == sorted(facts(drawn.messages), key=repr)

        spans = reader.spans(EVENTS, wanted)
        found = [each for batch in reader.read(spans) for each in batch]
        expected = [each for batch in broker.read(broker.spans(EVENTS, wanted)) for each in batch]
        assert sorted(facts(found), key=repr) == sorted(facts(expected), key=repr)
        for partition in range(3):
            offsets = [each.offset() for each in found if each.partition() == partition]
            assert all(a < b for a, b in pairwise(offsets))
        assert reader.digest_of(spans) == digest(expected)


@examples(20)
@given(topics(), ranges, ranges)
def test_what_two_exports_at_the_same_time_both_have_is_read_once(
    drawn: Drawn, one: TimeRange, other: TimeRange
) -> None:
    """Each sees an archive that the other has not added to yet; the files land in one folder."""
    urls, target = [empty_archive(), empty_archive()], empty_archive()
    fs = fsspec.filesystem("memory")
    with TemporaryDirectory() as folder:
        wanted = set()
        for url, times in zip(urls, (one, other), strict=True):
            found = export_messages(url, drawn.messages, Path(folder), times=times)
            if found.made is None:
                continue
            source, to = url.removeprefix("memory://"), target.removeprefix("memory://")
            for path in fs.find(source):
                fs.pipe_file(path.replace(source, to), fs.cat_file(path))
            broker = Topics(drawn.messages)
            wanted |= {
                (each.partition(), each.offset())
                for batch in broker.read(broker.spans(EVENTS, times))
                for each in batch
            }
        with open_archive(target) as reader:
            if not reader.holds(EVENTS):
                return
            read_ = [(each.partition(), each.offset()) for each in read(reader)]
            assert len(read_) == len(set(read_))
            assert set(read_) == wanted
            assert reader.digest_of(reader.spans(EVENTS)).count == len(wanted)


@given(
    st.tuples(st.integers(0, 9), st.integers(0, 12)),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 12)), max_size=4),
)
def test_what_is_left_of_an_interval(whole: tuple[int, int], taken: list[tuple[int, int]]) -> None:
    left = without(whole, [each for each in taken if each[0] < each[1]])
    gone = {offset for start, end in taken for offset in range(start, end)}
    assert [o for start, end in left for o in range(start, end)] == [
        o for o in range(*whole) if o not in gone
    ]


@pytest.fixture
def week() -> list[ArchivedMessage]:
    """Two partitions over seven days."""
    return [
        message(partition, day * 10 + number, NOON + day * DAY + number, value=f"{day}".encode())
        for partition in (0, 1)
        for day in range(7)
        for number in range(10)
    ]


def test_days_go_by_together(
    week: list[ArchivedMessage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who replays a month by its times need not have a partition's month in memory."""
    monkeypatch.setattr(archive, "BATCH", 4)
    url = empty_archive()
    export_messages(url, week, tmp_path)
    with open_archive(url) as reader:
        days = [each.timestamp()[1] // DAY for each in read(reader)]
    assert days == sorted(days)


def test_a_file_is_fetched_when_its_turn_has_come_and_is_gone_afterwards(
    week: list[ArchivedMessage], tmp_path: Path
) -> None:
    url = empty_archive()
    export_messages(url, week, tmp_path / "data")
    with open_archive(url) as reader:
        here = []
        for _ in reader.read(reader.spans(EVENTS)):
            here.append(len(list(reader._folder.iterdir())))
        assert max(here) <= 2 * 2  # of 14: one a partition, and one that ends as the next begins
        assert list(reader._folder.iterdir()) == []


def test_a_reading_that_is_given_up_leaves_no_file(week: list[ArchivedMessage], tmp_path: Path) -> None:
    url = empty_archive()
    export_messages(url, week, tmp_path)
    with open_archive(url) as reader:
        batches = reader.read(reader.spans(EVENTS))
        next(iter(batches))
        batches.close()  # type: ignore[attr-defined]
        assert list(reader._folder.iterdir()) == []


def test_analysts_find_columns_of_events(tmp_path: Path) -> None:
    event = Event(
        event_id="00000000-0000-4000-8000-000000000001",
        type="purchase",
        visitor_id="v",
        occurred_at=NOON - 5,
        product_id="a",
        items=(Item("b"), Item("a")),
    )
    whole = [message(0, 0, value=encode(event)), message(0, 1, value=b"no event", key=None)]
    export_messages(str(tmp_path / "archive"), whole, tmp_path / "data")
    [path] = (tmp_path / "archive" / "events" / "day=2026-11-01").iterdir()
    table = pq.read_table(tmp_path / "archive" / "events")  # _exports is passed over
    assert [str(day) for day in table.column("day").to_pylist()] == ["2026-11-01"] * 2
    assert table.column("event_id").to_pylist() == [event.event_id, None]
    assert table.column("type").to_pylist() == ["purchase", None]
    assert table.column("visitor_id").to_pylist() == ["v", None]
    assert table.column("product_ids").to_pylist() == [["a", "b"], None]
    assert [at and int(at.timestamp() * 1000) for at in table.column("occurred_at").to_pylist()] == [
        NOON - 5,
        None,
    ]
    codec = pq.ParquetFile(path).metadata.row_group(0).column(0).compression
    assert codec == "ZSTD"


def test_other_topics_have_no_columns_of_events(tmp_path: Path) -> None:
    rows = [message(0, 0, topic=RECOMMENDATIONS)]
    export_messages(str(tmp_path / "archive"), rows, tmp_path / "data", topic=RECOMMENDATIONS)
    [path] = (tmp_path / "archive" / "recommendations" / "day=2026-11-01").iterdir()
    assert pq.ParquetFile(path).schema_arrow.names == [
        "partition", "offset", "timestamp", "key", "value", "headers",
    ]  # fmt: skip
    with open_archive(str(tmp_path / "archive")) as reader:
        [found] = [each for batch in reader.read(reader.spans(RECOMMENDATIONS)) for each in batch]
        assert found.topic() == "recommendations"
        with pytest.raises(ArchiveRefused, match="holds no export of the topic events"):
            reader.spans(EVENTS)


def test_whom_it_leaves_out_is_of_when_it_was_made(tmp_path: Path) -> None:
    rows = [
        message(0, 0, NOON, key=b"gone"),
        message(0, 1, NOON + 2, key=b"gone"),  # after the erasure
        message(0, 2, NOON, key=b"other"),
        message(0, 3, NOON + 9, key=b"x", value=b'{"visitor_id": "gone", "occurred_at": %d}' % NOON),
        message(0, 4, NOON, key=None, value=b'{"visitor_id": "gone", "occurred_at": "never"}'),
    ]
    url = empty_archive()
    found = manifest_of(export_messages(url, rows, tmp_path, erasures=Erasures({"gone": NOON + 1})))
    assert (found.count, found.erased) == (2, 3)
    with open_archive(url) as reader:
        assert [each.offset() for each in read(reader)] == [1, 2]


# What is wrong with an archive


@pytest.fixture
def folder(week: list[ArchivedMessage], tmp_path: Path) -> Path:
    """An archive on disk."""
    export_messages(str(tmp_path / "archive"), week, tmp_path / "data")
    return tmp_path / "archive"


def a_file(folder: Path) -> Path:
    return sorted(folder.glob("events/day=2026-11-03/*.parquet"))[0]


def spoil_byte(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (spoil_byte, "is spoiled: its .* bytes are not the .* that were written"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "is spoiled"),
        (lambda path: path.write_bytes(b""), "is spoiled: its 0 bytes"),
        (Path.unlink, "is missing: restore it from a copy"),
    ],
)
def test_a_spoiled_file_is_told_by_its_name(folder: Path, spoil: object, told: str) -> None:
    path = a_file(folder)
    assert callable(spoil)
    spoil(path)
    with open_archive(str(folder)) as reader, pytest.raises(ArchiveRefused, match=told) as error:
        read(reader)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda told: b"not json", "is no manifest of an export"),
        (lambda told: msgspec.json.encode(told | {"format": 2}), "has format 2; this version reads 1"),
        (lambda told: msgspec.json.encode(told | {"count": 139}), "does not agree with itself"),
        (lambda told: msgspec.json.encode(told | {"digest": "0" * 32}), "does not agree with itself"),
        (lambda told: msgspec.json.encode(told | {"files": told["files"][1:]}), "does not agree with itself"),
        (lambda told: msgspec.json.encode(told | {"topic": "products.dlq"}), "and lies under events"),
        (
            lambda told: msgspec.json.encode(
                told | {"files": [told["files"][0] | {"name": "../../etc/passwd"}]}
            ),
            r"is no manifest of an export: .*files.*name",
        ),
    ],
)
def test_a_spoiled_manifest_is_told_by_its_name(folder: Path, change: object, told: str) -> None:
    [path] = folder.glob("events/_exports/*.json")
    assert callable(change)
    path.write_bytes(change(msgspec.json.decode(path.read_bytes())))
    with open_archive(str(folder)) as reader, pytest.raises(ArchiveRefused, match=told) as error:
        read(reader)
    assert path.name in str(error.value)


def test_a_file_that_is_no_table_is_told(folder: Path) -> None:
    """Its manifest was made anew for it: somebody else's archive may be anything."""
    path = a_file(folder)
    [manifest] = folder.glob("events/_exports/*.json")
    path.write_bytes(b"PAR1 this is no table PAR1")
    told = msgspec.json.decode(manifest.read_bytes())
    for file in told["files"]:
        if file["name"].endswith(path.name):
            file |= {"size": path.stat().st_size, "sha256": sha256(path.read_bytes()).hexdigest()}
    manifest.write_bytes(msgspec.json.encode(told))
    told_ = f"{path.name} cannot be read as an archive's file"
    with open_archive(str(folder)) as reader, pytest.raises(ArchiveRefused, match=told_):
        read(reader)


def test_what_no_manifest_names_is_no_part_of_it(folder: Path, week: list[ArchivedMessage]) -> None:
    path = a_file(folder)
    (path.parent / "part-20261101T000000Z-abcdef-p0-00001.parquet").write_bytes(path.read_bytes())
    (path.parent / "notes.parquet").write_bytes(b"")
    (folder / "events" / "_exports" / "20261101T000000Z-abcdef.part").write_bytes(b"half a manif")
    with open_archive(str(folder)) as reader:
        assert len(read(reader)) == len(week)


def test_an_empty_folder_is_no_archive(tmp_path: Path) -> None:
    with open_archive(str(tmp_path)) as reader:
        assert not reader.holds(EVENTS)
        with pytest.raises(ArchiveRefused, match=f"{tmp_path} holds no export of the topic events"):
            reader.spans(EVENTS)


def test_an_address_that_nobody_knows_is_told() -> None:
    with pytest.raises(StoreFailed, match="archive gopher://hole: Protocol not known"):
        ArchiveStore("gopher://hole")


def test_an_empty_span_is_nothing_to_read(folder: Path) -> None:
    with open_archive(str(folder)) as reader:
        assert list(reader.read([Span("events", 0, 5, 5), Span("events", 1, 9, 3)])) == []
        assert list(reader.read([])) == []
