"""Services as real processes on the test's broker and topics."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
from confluent_kafka import Consumer, Message, TopicPartition
from tenacity import retry, stop_after_delay, wait_fixed

from infra.stack.broker import ROOT
from schemas.topics import Topic
from services.settings import ServiceSettings
from tests.conftest import free_ports

KEY = "the key of the shop's back end"
SECRET = "a secret of the tests"
PAGE = "http://127.0.0.1:8000"


class Running:
    """A running service, with what it logged."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        self.http = httpx.Client(base_url=self.url, timeout=10)

    def wait_for(self, path: str, within_s: float = 60) -> None:
        """Returns when the path answers 200; fails with the log when the process has ended."""

        @retry(stop=stop_after_delay(within_s), wait=wait_fixed(0.05), reraise=True)
        def answered() -> None:
            assert self.process.poll() is None, self.log.read_text()
            self.http.get(path).raise_for_status()

        answered()

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()


@contextmanager
def running(
    name: str,
    settings: ServiceSettings,
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    port: int | None = None,
    until: str = "/readyz",
) -> Iterator[Running]:
    """`python -m services.<name>` on these brokers and topics; killed at the end where it still runs."""
    port = port or free_ports(1)[0]
    variables = os.environ | {
        "EDDY_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "EDDY_TOPIC_PREFIX": settings.topic_prefix,
        f"EDDY_{name.upper()}_PORT": str(port),
        "EDDY_TOKEN_SECRET": SECRET,
        "EDDY_API_KEY": KEY,
        "EDDY_ALLOWED_ORIGINS": PAGE,
        "EDDY_LOG_FORMAT": "console",
        "PYTHONPATH": str(ROOT),
        **(environment or {}),
    }
    command = [sys.executable, "-m", f"services.{name}"]
    with log.open("ab") as output:
        process = subprocess.Popen(command, env=variables, stdout=output, stderr=output, cwd=ROOT)
    service = Running(process, port, log)
    try:
        service.wait_for(until)
        yield service
    finally:
        service.http.close()
        service.kill()


def messages(settings: ServiceSettings, topic: Topic) -> list[Message]:
    """All that lies on a topic now, each partition in its order. Fails when a part does not come."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap,
            "group.id": "unused",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    name = settings.topic(topic)
    places = [TopicPartition(name, number, 0) for number in range(topic.partitions)]
    consumer.assign(places)
    found: list[Message] = []
    ended: set[int] = set()
    while len(ended) < len(places):
        message = consumer.poll(10)
        assert message is not None, (
            f"{name}: nothing more came, {len(ended)} of {len(places)} partitions were read whole"
        )
        if message.error():
            ended.add(int(message.partition() or 0))
        else:
            found.append(message)
    consumer.close()
    return found
