"""What the tests stand on: a real broker for the whole run, and a topic prefix of its own for each test."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn
from uuid import uuid4

import hypothesis
import psutil
import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from infra.stack.broker import LIBS, ROOT, Broker
from infra.stack.lifecycle import Stack
from infra.stack.settings import StackSettings
from services.kafka.admin import create
from services.settings import ServiceSettings

SHARED_DATA = ROOT.parent / "shared" / "data"

# Machines are noisy, and compiled code is slow the first time: how long an example takes is no failure.
hypothesis.settings.register_profile("eddy", deadline=None)
hypothesis.settings.load_profile("eddy")

# A shell starts what runs in its background with Ctrl-C ignored, and what the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def missing(reason: str) -> NoReturn:
    """Skips where a person's machine lacks something; on CI that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI=true: {reason}")
    pytest.skip(reason)


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def settings_on_free_ports(folder: Path) -> StackSettings:
    """A stack of its own in a folder, on ports that nobody uses now."""
    kafka, controller, shop, ingest, recommender, processor, embedder = free_ports(7)
    return StackSettings(
        stack_folder=folder,
        kafka_port=kafka,
        kafka_controller_port=controller,
        shop_port=shop,
        ingest_port=ingest,
        recommender_port=recommender,
        session_processor_port=processor,
        embedder_port=embedder,
    )


@retry(retry=retry_if_exception_type(KafkaException), stop=stop_after_delay(30), wait=wait_fixed(0.1))
def _answering(bootstrap: str) -> None:
    AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}).list_topics(timeout=2)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A running Kafka broker, one for the whole run."""
    if shutil.which("java") is None or not LIBS.is_dir():
        missing("a broker needs Java 17 and the jars of `make setup`")
    port, controller_port = free_ports(2)
    broker = Broker(tmp_path_factory.mktemp("kafka"), port, controller_port)
    broker.prepare()
    with (broker.folder / "log").open("wb") as log:
        process = subprocess.Popen(broker.command(), stdout=log, stderr=subprocess.STDOUT)
    try:
        _answering(broker.bootstrap)
        yield broker
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture
def kafka(broker: Broker) -> ServiceSettings:
    """Settings of a fresh set of topics on the running broker."""
    settings = ServiceSettings(kafka_bootstrap=broker.bootstrap, topic_prefix=f"t{uuid4().hex[:8]}.")
    create(settings)
    return settings


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole flow, as `make up` starts it, on ports and in a folder of its own; one for the whole run."""
    if shutil.which("java") is None or not LIBS.is_dir():
        missing("the stack needs Java 17 and the jars of `make setup`")
    settings = settings_on_free_ports(tmp_path_factory.mktemp("stack"))
    catalogue = {"catalogue_dir": ROOT / "build" / "tests" / "catalogue", "stack_products": 600}
    stack = Stack(settings.model_copy(update=catalogue))
    pids: list[int] = []
    given = pytest.MonkeyPatch()
    # A model that grows every minute pushes nothing, so a row of before it is not the one of now.
    given.setenv("EDDY_LIVE_LEARNING_S", "0")
    try:
        stack.up(lambda what, seconds: print(f"{what}: {seconds:.1f} s"))
        yield stack
        pids = [stack.pid(name) for name in stack.ports]
    finally:
        stack.down()
        given.undo()
    assert not [pid for pid in pids if pid and psutil.pid_exists(pid)], "`down` has left processes"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"{SHARED_DATA} is not there: real data is not part of the repository")
    return SHARED_DATA
