"""A broker of a benchmark's own."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from infra.stack.broker import Broker
from services.kafka.clients import Headers
from tests.support.machine import free_ports
from tests.support.patience import patiently


@contextmanager
def broker(*, lasts: bool = False) -> Iterator[Broker]:
    """A running one, empty; it and its data are gone afterwards. `lasts`: as in `Broker`."""
    with tempfile.TemporaryDirectory() as folder:
        made = Broker(Path(folder), *free_ports(2), lasts=lasts)
        made.prepare()
        process = subprocess.Popen(made.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _answering(made.bootstrap)
            yield made
        finally:
            process.kill()
            process.wait()


@patiently(30)
def _answering(bootstrap: str) -> None:
    AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}).list_topics(timeout=2)


def put(
    producer: Producer,
    topic: str,
    key: bytes | None,
    value: bytes,
    *,
    at: int = 0,
    headers: Headers | None = None,
) -> None:
    """Hands one message over, as soon as there is room for it; `at` is its time, Unix ms, 0 for now."""
    while True:
        try:
            producer.produce(topic, value, key, timestamp=at, headers=headers or [])
        except BufferError:
            producer.poll(0.1)
        else:
            producer.poll(0)
            return
