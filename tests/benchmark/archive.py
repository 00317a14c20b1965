"""A topic into an archive and back, by the commands themselves, beside bare loops that do the least.

The bare ways there and back are the documentation's: a consumer whose batches pyarrow writes, and a table
whose rows a producer sends; they verify, decode, divide and count nothing.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any, Final

import msgspec
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from infra.stack.broker import ROOT
from schemas.topics import EVENTS
from services.archive.digest import Digest
from services.archive.reader import open_archive
from services.kafka.admin import create
from services.kafka.clients import client_config, producer_config
from services.kafka.ranges import open_reader
from services.settings import ServiceSettings
from tests.benchmark.brokers import broker
from tests.benchmark.history import BATCH, bare, fill
from tests.benchmark.machine import Machine, this_machine
from tests.benchmark.stopwatch import time_call

ROUNDS: Final = 3
LOOK_S: Final = 0.1  # between two looks at how much memory a process has
OPS: Final = [sys.executable, "-m", "services.ops"]
Rates = dict[str, list[float]]


class ArchiveFigures(msgspec.Struct, frozen=True):
    """Medians of the rounds, which took turns; events a second.

    `*_of_bare` is ours over the bare loop's of the same round. Memory is the most that the process was seen
    to have.
    """

    machine: Machine
    events: int
    digest: str
    bytes_an_event: float
    archived_bytes_an_event: float
    files: int
    bare_consumer_per_s: float
    bare_export_per_s: float
    export_per_s: float
    export_of_bare: float
    export_memory_mb: float
    bare_import_per_s: float
    import_per_s: float
    import_of_bare: float
    import_memory_mb: float
    archive_read_per_s: float


def measure(count: int, tell: Callable[[str], object], rounds: int = ROUNDS) -> ArchiveFigures:
    """Fills a topic with `count` events, exports and imports it by turns; all digests must agree. Blocks."""
    machine = this_machine()
    rates: Rates = {}
    memory: dict[str, list[float]] = {"export": [], "import": []}
    with broker() as running, tempfile.TemporaryDirectory() as name:
        folder, settings = Path(name), ServiceSettings(kafka_bootstrap=running.bootstrap)
        create(settings)
        tell(f"filling a topic with {count:,} events …")
        size = fill(settings, count)
        expected = digest(settings)
        for number in range(rounds):
            tell(f"there and back, round {number + 1} of {rounds} …")
            _add(rates, "bare consumer", count, time_call(lambda: bare(settings, count))[0])
            table, url = folder / f"bare-{number}.parquet", str(folder / f"archive-{number}")
            _add(rates, "bare export", count, time_call(lambda: bare_export(settings, count, table))[0])  # noqa: B023
            made, peak = _command(settings, folder, "export", url)
            assert (made["messages"], made["digest"]) == (count, expected)
            _add(rates, "export", count, made["seconds"])
            memory["export"].append(peak)
            _add(rates, "archive read", count, time_call(lambda: _read(url, count))[0])  # noqa: B023

            bare_target, target = (_beside(settings, f"{kind}{number}.") for kind in ("bare", "back"))
            _add(rates, "bare import", count, time_call(lambda: bare_import(bare_target, table))[0])  # noqa: B023
            back, peak = _command(settings, folder, "import", url, "--as-prefix", target.topic_prefix)
            assert back["agrees"]
            assert (back["written"], back["written_digest"]) == (count, expected)
            assert digest(target) == expected
            _add(rates, "import", count, back["seconds"])
            memory["import"].append(peak)
    return ArchiveFigures(
        machine=machine,
        events=count,
        digest=expected,
        bytes_an_event=round(size / count, 1),
        archived_bytes_an_event=round(made["bytes"] / count, 1),
        files=made["files"],
        bare_consumer_per_s=round(median(rates["bare consumer"])),
        bare_export_per_s=round(median(rates["bare export"])),
        export_per_s=round(median(rates["export"])),
        export_of_bare=_ratio(rates, "export", "bare export"),
        export_memory_mb=max(memory["export"]),
        bare_import_per_s=round(median(rates["bare import"])),
        import_per_s=round(median(rates["import"])),
        import_of_bare=_ratio(rates, "import", "bare import"),
        import_memory_mb=max(memory["import"]),
        archive_read_per_s=round(median(rates["archive read"])),
    )


def digest(settings: ServiceSettings) -> str:
    """Of all events that lie on the topic now."""
    found = Digest()
    with open_reader(settings) as reader:
        for batch in reader.read(reader.spans(EVENTS)):
            for message in batch:
                found.add(message)
    return str(found)


def bare_export(settings: ServiceSettings, count: int, path: Path) -> None:
    """A consumer and a Parquet writer."""
    consumer = Consumer(
        client_config(settings)
        | {"group.id": "unused", "enable.auto.commit": False, "fetch.queue.backoff.ms": 5}
    )
    topic = settings.topic(EVENTS)
    consumer.assign([TopicPartition(topic, number, 0) for number in range(EVENTS.partitions)])
    columns = pa.schema([("timestamp", pa.int64()), ("key", pa.binary()), ("value", pa.binary())])
    received = 0
    with pq.ParquetWriter(path, columns, compression="zstd") as writer:
        while received < count:
            messages = consumer.consume(BATCH, timeout=1)
            writer.write_batch(_rows(messages, columns))
            received += len(messages)
    consumer.close()


def _rows(messages: Sequence[Message], columns: pa.Schema) -> pa.RecordBatch:
    arrays = [
        pa.array([message.timestamp()[1] for message in messages], pa.int64()),
        pa.array([message.key() for message in messages], pa.binary()),
        pa.array([message.value() for message in messages], pa.binary()),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=columns)


def bare_import(settings: ServiceSettings, path: Path) -> None:
    """A Parquet reader and a producer."""
    producer = Producer(
        producer_config(settings, linger_ms=20, timeout_ms=60_000) | {"compression.type": "lz4"}
    )
    topic = settings.topic(EVENTS)
    with pq.ParquetFile(path) as table:
        for batch in table.iter_batches(BATCH):
            for at, key, value in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                while True:
                    try:
                        producer.produce(topic, value, key, timestamp=at)
                    except BufferError:
                        producer.poll(0.1)
                    else:
                        break
            producer.poll(0)
    assert producer.flush(60) == 0


def _read(url: str, count: int) -> None:
    with open_archive(url) as archive:
        assert sum(map(len, archive.read(archive.spans(EVENTS)))) == count


def _beside(settings: ServiceSettings, prefix: str) -> ServiceSettings:
    made = settings.model_copy(update={"topic_prefix": prefix})
    create(made)
    return made


def _command(settings: ServiceSettings, folder: Path, *arguments: str) -> tuple[dict[str, Any], float]:
    """What a command tells machines, and the most memory that its process had, in MB."""
    variables = os.environ | {
        "EDDY_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "EDDY_OPS_DATADIR": str(folder / "ops"),
        "PYTHONPATH": str(ROOT),
    }
    process = subprocess.Popen(
        [*OPS, *arguments, "--json"], env=variables, cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    # What the system says of an ended process counts this one's memory in, of which it began as a copy.
    seen, peak = psutil.Process(process.pid), 0
    while process.poll() is None:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            peak = max(peak, seen.memory_info().rss)
        time.sleep(LOOK_S)
    assert process.stdout is not None
    told = process.stdout.read()
    assert process.returncode == 0, told
    return msgspec.json.decode(told, type=dict[str, Any]), round(peak / 1e6)


def _add(rates: Rates, name: str, count: int, seconds: float) -> None:
    rates.setdefault(name, []).append(count / seconds)


def _ratio(rates: Rates, ours: str, theirs: str) -> float:
    return round(median(a / b for a, b in zip(rates[ours], rates[theirs], strict=True)), 3)
