"""The system under load: started on free ports, in a folder of its own, and stopped afterwards."""

import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.stack.broker import ROOT, Broker
from infra.stack.lifecycle import Stack, StepFailed, kafka_answers
from infra.stack.settings import StackSettings
from schemas.topics import PRODUCTS
from services.kafka.admin import create
from services.settings import ServiceSettings
from tests.benchmark import standin_vectors
from tests.support.kafka import read_topic
from tests.support.services import run_service
from tests.support.stack import settings_on_free_ports

FOLDER: Final = ROOT / "build" / "bench" / "stack"
FLOW: Final = ("kafka", "ingest", "session_processor", "recommender")  # what an event passes through

Tell = Callable[[str, float], None]  # what was done, and how many seconds it took


@dataclass(frozen=True)
class System:
    """Where it answers, which products it has, and the ids of its processes by name."""

    kind: str
    ingest_url: str
    recommender_url: str
    settings: ServiceSettings
    pids: Mapping[str, int]
    shop_url: str = ""  # where no shop runs

    def products(self) -> list[str]:
        """The ids of all products on the topic `products`, in alphabetical order."""
        return products_of(self.settings)


def products_of(settings: ServiceSettings) -> list[str]:
    """The ids of all products on the topic `products`, in alphabetical order."""
    newest = {message.key(): message.value() for message in read_topic(settings, PRODUCTS)}
    return sorted(key.decode() for key, value in newest.items() if key and value is not None)


@contextmanager
def whole_stack(tell: Tell) -> Iterator[System]:
    """All of Eddy, as `make up` starts it."""
    settings = fresh_settings()
    stack = Stack(settings)
    try:
        stack.up(tell)
        names = [*FLOW, "embedder", "shop"]
        yield System(
            "the whole stack, as `make up` starts it",
            stack.ingest_url,
            stack.recommender_url,
            ServiceSettings(kafka_bootstrap=stack.bootstrap),
            {name: stack.pid(name) for name in names},
            stack.shop_url,
        )
    finally:
        stack.down()


@contextmanager
def without_embedder(tell: Tell) -> Iterator[System]:
    """The services that an event passes, with vectors that stand in for the embedder's."""
    stack = fresh_settings()
    broker = Broker(FOLDER / "kafka", stack.kafka_port, stack.kafka_controller_port, lasts=True)
    settings = ServiceSettings(kafka_bootstrap=broker.bootstrap)
    environment = {"OPENBLAS_NUM_THREADS": "1"}  # as infra.stack sets it
    with ExitStack() as started:
        kafka = started.enter_context(_kafka(broker))
        create(settings)
        standin_vectors.publish(settings, stack.catalogue_dir)
        services = {
            name: started.enter_context(
                run_service(name, settings, FOLDER / f"{name}.log", environment=environment, fresh=True)
            )
            for name in FLOW[1:]
        }
        tell("broker, ingest, session processor and recommender are ready", 0.0)
        yield System(
            "broker, ingest, session_processor, recommender; vectors stand in for the embedder's",
            services["ingest"].url,
            services["recommender"].url,
            settings,
            {"kafka": kafka} | {name: each.process.pid for name, each in services.items()},
        )


@contextmanager
def already_running(ingest_url: str, recommender_url: str, bootstrap: str) -> Iterator[System]:
    """Somebody's own; its processes may be anywhere, so their memory and CPU time are not told."""
    settings = ServiceSettings(kafka_bootstrap=bootstrap)
    yield System("already running", ingest_url.rstrip("/"), recommender_url.rstrip("/"), settings, {})


def fresh_settings() -> StackSettings:
    """An empty folder, and ports that nobody uses."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    own = {"kafka_bootstrap": None, "kafka_quick_start": False}  # as `make up` has it
    return settings_on_free_ports(FOLDER).model_copy(update=own)


@contextmanager
def _kafka(broker: Broker) -> Iterator[int]:
    broker.prepare()
    log: Path = broker.folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(broker.command(), stdout=output, stderr=subprocess.STDOUT)
    try:
        for _ in range(60):
            if kafka_answers(broker.bootstrap):
                break
        else:
            raise StepFailed(f"Kafka does not answer:\n{log.read_text()[-2000:]}")
        yield process.pid
    finally:
        process.terminate()
        process.wait(timeout=30)
