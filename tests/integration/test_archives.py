"""Topics into archives and back, on a real broker: also on S3, and as processes killed on the way."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import pytest
from moto.server import ThreadedMotoServer

from schemas.events import Event, encode
from schemas.topics import EVENTS, Topic
from services.archive.digest import Digest
from services.archive.reader import ArchiveRefused, open_archive
from services.kafka.admin import create
from services.kafka.writer import open_writer
from services.model.session import TYPE_WEIGHTS
from services.progress import Silent
from services.settings import ServiceSettings
from services.time_range import TimeRange
from services.trainer import topic_history
from services.trainer.sessions import sessionise
from services.trainer.topic_history import NothingToRead, TopicHistory
from tests.support.kafka import HOUR, NOON, TopicWriter, forget_records, read_topic
from tests.support.launcher import ModuleProcess
from tests.support.machine import free_ports
from tests.support.operator import Operator
from tests.support.patience import wait_until
from tests.support.trainer import Trainer

DAY = 24 * HOUR
MANY = 30_000
BUCKET = "s3://shop-archive/eddy"


@dataclass(frozen=True)
class Ops:
    """The operator's commands with a broker and a folder for their work; here, or as processes."""

    settings: ServiceSettings
    folder: Path

    @property
    def _operator(self) -> Operator:
        return Operator(self.settings, {"EDDY_OPS_DATADIR": str(self.folder / "ops")})

    def start(self, *arguments: str) -> ModuleProcess:
        """The running process."""
        return self._operator.start(*arguments)

    def __call__(self, *arguments: str, status: int = 0) -> str:
        """All that it printed; fails where it ends otherwise than with `status`."""
        done = self._operator(*arguments, status=status)
        return done.out + done.err

    def json(self, *arguments: str) -> dict[str, Any]:
        """What a command that ends well tells machines."""
        return self._operator(*arguments, "--json").json


@pytest.fixture
def ops(kafka: ServiceSettings, tmp_path: Path) -> Ops:
    """Of the test's own topics."""
    return Ops(kafka, tmp_path)


@pytest.fixture
def shadow(kafka: ServiceSettings) -> ServiceSettings:
    """Other topics beside the test's."""
    beside = kafka.model_copy(update={"topic_prefix": f"{kafka.topic_prefix}shadow."})
    create(beside)
    return beside


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """An S3 server, over HTTP; AWS's own variables say where."""
    server = ThreadedMotoServer("127.0.0.1", free_ports(1)[0], verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    given = pytest.MonkeyPatch()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "a key",
        "AWS_SECRET_ACCESS_KEY": "a secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        given.setenv(name, value)
    # fsspec keeps a connection for the life of a process, with what the environment said when it was opened.
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    fsspec.filesystem("s3").mkdir("shop-archive")
    yield BUCKET
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    given.undo()
    server.stop()


def fill(settings: ServiceSettings, count: int, days: int = 14) -> None:
    """Events of many visitors, in the order of their times."""
    with open_writer(settings) as writer:
        for number in range(count):
            visitor, at = f"v{number % 97}", NOON - 13 * DAY + number * days * DAY // count
            event = Event(
                event_id=f"00000000-0000-4000-8000-{number:012d}",
                type="view_item",
                visitor_id=visitor,
                occurred_at=at,
                received_at=at + 5,
                product_id=f"p{number % 31}",
            )
            writer.write(
                settings.topic(EVENTS),
                visitor.encode(),
                encode(event),
                headers=[("accepted_at", str(at).encode())],
                timestamp=at + 9,
            )


def digest(settings: ServiceSettings, topic: Topic = EVENTS) -> tuple[int, str]:
    """Count and digest of what lies on a topic, as a plain consumer finds it."""
    found = Digest()
    for message in read_topic(settings, topic):
        found.add(message)
    return found.count, str(found)


def places(settings: ServiceSettings) -> set[tuple[bytes | None, int | None]]:
    return {(each.key(), each.partition()) for each in read_topic(settings, EVENTS)}


def read(settings: ServiceSettings, *archives: str) -> TopicHistory:
    return topic_history.read(settings, TimeRange(), TYPE_WEIGHTS, Silent(), archives)


def test_to_s3_and_back_every_message_is_as_it_was(ops: Ops, shadow: ServiceSettings, s3: str) -> None:
    fill(ops.settings, 3_000)
    TopicWriter(ops.settings).raw(EVENTS, "v", b"no event")
    filling = TopicWriter(ops.settings)
    filling.raw(EVENTS, "v", None)  # nor this
    filling.flush()
    count, expected = digest(ops.settings)
    url = f"{s3}/{ops.settings.topic_prefix}"
    made = ops.json("export", url)
    assert (made["messages"], made["digest"], made["erased"], made["strays"]) == (count, expected, 0, 0)
    assert made["days"] == 15  # two weeks do not begin at midnight
    assert made["manifest"].startswith("s3://shop-archive/eddy/")

    back = ops.json("import", url, "--as-prefix", shadow.topic_prefix)
    assert (back["written"], back["written_digest"], back["agrees"]) == (count, expected, True)
    assert digest(shadow) == (count, expected)
    assert places(shadow) == places(ops.settings)

    # The trainer takes it for the topic, which has forgotten all.
    whole = sessionise(read(ops.settings).events)
    forget_records(ops.settings, EVENTS)
    found = read(ops.settings, url)
    assert found.tally.sources == {url: count, ops.settings.topic(EVENTS): 0}
    histories = sessionise(found.events)
    assert histories.products == whole.products
    assert (histories.items == whole.items).all()
    assert (histories.times == whole.times).all()


def test_an_archive_grows_and_what_it_has_twice_counts_once(ops: Ops, shadow: ServiceSettings) -> None:
    fill(ops.settings, 2_000)
    count, expected = digest(ops.settings)
    url = str(ops.folder / "archive")
    day = ["--from", iso(NOON - 9 * DAY), "--to", iso(NOON - 7 * DAY)]
    first = ops.json("export", url, *day)
    assert first["messages"] == pytest.approx(count * 2 / 14, abs=2)
    second = ops.json("export", url)  # before it, and behind it: two readings of each partition
    assert second["messages"] == count - first["messages"]
    assert second["already"] == first["messages"]
    assert "nothing new" in ops("export", url)

    part = ops.json("import", url, "--as-prefix", shadow.topic_prefix, *day)
    assert (part["written"], part["digest"]) == (first["messages"], first["digest"])
    assert digest(shadow) == (first["messages"], first["digest"])
    with open_archive(url) as archive:
        promised = archive.digest_of(archive.spans(EVENTS))
    assert (promised.count, str(promised)) == (count, expected)

    # Topic and archive together are the topic.
    both, alone = read(ops.settings, url), read(ops.settings)
    assert (both.tally.messages, alone.tally.messages) == (2 * count, count)
    assert (sessionise(both.events).times == sessionise(alone.events).times).all()


def test_erased_visitors_are_in_no_export_and_come_back_from_none(ops: Ops, shadow: ServiceSettings) -> None:
    fill(ops.settings, 970)
    filling = TopicWriter(ops.settings)
    filling.erasure("v0", NOON + 2 * DAY)
    filling.flush()
    url = str(ops.folder / "archive")
    made = ops.json("export", url)
    assert (made["messages"], made["erased"]) == (960, 10)
    filling.erasure("v1", NOON + 2 * DAY)
    filling.flush()
    back = ops.json("import", url, "--as-prefix", shadow.topic_prefix)
    assert (back["read"], back["written"], back["erased"], back["agrees"]) == (960, 950, 10, True)
    assert back["archive_digest"] == back["digest"] != back["written_digest"]
    assert {key for key, _ in places(shadow)} == {f"v{number}".encode() for number in range(2, 97)}
    forget_records(ops.settings, EVENTS)
    found = read(ops.settings, url)
    assert (found.tally.messages, found.tally.erased) == (960, 10)
    # Who is erased where it is written to is left out, too.
    filling = TopicWriter(shadow)
    filling.erasure("v2", NOON + 2 * DAY)
    filling.flush()
    assert ops.json("import", url, "--as-prefix", shadow.topic_prefix)["erased"] == 20


def parquet(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("events/day=*/*.parquet")}


def exports(folder: Path) -> list[Path]:
    return list(folder.glob("events/_exports/*.json"))


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_export_counts_for_nothing_and_the_next_is_whole(ops: Ops, sign: signal.Signals) -> None:
    fill(ops.settings, MANY)
    archive = ops.folder / "archive"
    process = ops.start("export", str(archive))
    wait_until(lambda: len(parquet(archive)) >= 3, every_s=0.002)  # of 14 days and 8 partitions
    process.send_signal(sign)
    _, err = process.communicate(timeout=30)
    assert exports(archive) == []
    with open_archive(str(archive)) as reader:
        assert not reader.holds(EVENTS)
    left = parquet(archive)
    if sign == signal.SIGKILL:
        assert process.returncode == -sign
        assert left
    else:
        assert process.returncode == 128 + sign
        assert "stopped by SIGTERM; nothing of it counts; the same command begins anew" in err
        assert not left

    made = ops.json("export", str(archive))
    assert (made["messages"], made["digest"]) == digest(ops.settings)
    assert len(parquet(archive)) == made["files"]
    assert not left & parquet(archive)
    assert list((ops.folder / "ops").glob(".eddy-part-*")) == []


def test_a_killed_import_goes_on_where_it_was(ops: Ops, shadow: ServiceSettings) -> None:
    fill(ops.settings, MANY)
    count, expected = digest(ops.settings)
    url = str(ops.folder / "archive")
    ops.json("export", url)
    process = ops.start("import", url, "--as-prefix", shadow.topic_prefix)
    wait_until(lambda: any((ops.folder / "ops" / "imports").glob("*.json")), every_s=0.002)
    process.kill()
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL

    told = ops("import", url, "--as-prefix", shadow.topic_prefix)
    assert "before it was stopped" in told
    assert f"read {count:,} {expected}" in " ".join(told.split())
    there = read_topic(shadow, EVENTS)
    assert len({each.value() for each in there}) == count
    assert count <= len(there) < 2 * count
    distinct = Digest()
    seen = set()
    for each in there:
        if each.value() not in seen:
            seen.add(each.value())
            distinct.add(each)
    assert (distinct.count, str(distinct)) == (count, expected)


def test_a_spoiled_archive_is_told_and_nothing_of_it_written(ops: Ops, shadow: ServiceSettings) -> None:
    fill(ops.settings, 500)
    archive = ops.folder / "archive"
    ops.json("export", str(archive))
    path = sorted(archive.glob("events/day=*/*.parquet"))[-1]
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    told = ops("import", str(archive), "--as-prefix", shadow.topic_prefix, status=2)
    assert f"{path} is spoiled" in told
    assert read_topic(shadow, EVENTS) == []


def test_what_is_not_there_is_told(ops: Ops, s3: str) -> None:
    fill(ops.settings, 100)
    for arguments, expected in [
        (["export", "s3://nobodys-bucket/eddy"], "archive s3://nobodys-bucket/eddy: "),
        (["import", f"{s3}/nowhere"], f"{s3}/nowhere holds no export of the topic events"),
        (["import", f"{s3}/x", "--as-prefix", "nowhere."], "topic 'nowhere.events' is missing"),
    ]:
        told = ops(*arguments, status=2)
        assert expected in told
        assert "Traceback" not in told
    closed = f"http://127.0.0.1:{free_ports(1)[0]}"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", closed)
        environment.setenv("AWS_MAX_ATTEMPTS", "1")
        process = ops.start("export", f"{s3}/x")  # this process knows the server that answers
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2, err
    assert f"archive {s3}/x: Could not connect to the endpoint URL" in err


def test_a_model_is_learned_from_an_archive_alone(ops: Ops) -> None:
    filling = TopicWriter(ops.settings)
    for day in range(3):
        for visit in range(60):
            at = NOON - (3 - day) * DAY + visit * 60_000
            for step, product in enumerate((f"a{visit % 9}", f"b{visit % 9}")):
                filling.event(product, visitor=f"v{day}-{visit}", at=at + step * 1000)
    filling.event("secret", visitor="forgotten", at=NOON - 2 * DAY)
    filling.flush()
    url = str(ops.folder / "archive")
    ops.json("export", url)
    forget_records(ops.settings, EVENTS)
    filling.erasure("forgotten", NOON)
    filling.flush()
    trainer = Trainer(ops.settings, ops.folder)
    status, told = trainer("train", "--archive", url)
    assert status == 0, told
    assert f"read: 361 messages of {url}" in told
    assert "left out: 1 events of erased visitors" in told
    assert "learned from 360 events" in told
    with pytest.raises(ArchiveRefused, match="elsewhere holds no export of the topic events"):
        read(ops.settings, url, str(ops.folder / "elsewhere"))
    with pytest.raises(NothingToRead, match=r"archive holds 361 events, but none.*events holds no events"):
        topic_history.read(ops.settings, TimeRange(NOON), TYPE_WEIGHTS, Silent(), [url])


def iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat()
