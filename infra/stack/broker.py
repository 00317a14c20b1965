"""A real Apache Kafka broker, one KRaft node: its configuration, its storage, its command line."""

import os
import shutil
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from socket import socket
from tempfile import TemporaryDirectory
from typing import Final
from uuid import uuid4

from services.kafka.admin import answers

ROOT: Final = Path(__file__).resolve().parents[2]
KAFKA: Final = ROOT / "infra" / "kafka"
LIBS: Final = ROOT / "build" / "kafka" / "libs"
AGENT: Final = LIBS / "jmx_prometheus_javaagent-1.0.1.jar"
HEAP: Final = "-Xmx384m"
# Without it the second compiler takes half a core for the first minute, and then a third less for each event.
QUICK: Final = "-XX:TieredStopAtLevel=1"
# What a start loads of the jars, parsed and checked (JEP 350), which takes a third of its CPU time. Java
# passes over an archive of another Java, or of other jars.
CLASSES: Final = ROOT / "build" / "kafka" / "classes.jsa"
START_WITHIN_S: Final = 120.0


class BrokerUnavailable(Exception):
    """The broker cannot run here; the text says what to do."""


@dataclass(frozen=True)
class Broker:
    """Where one broker lives: its folder and its two loopback ports.

    `more` has further properties, which win over all others, as a node of a cluster needs them. `lasts`: it
    lives for more than a minute, so that what it spends on compiling its code comes back.
    """

    folder: Path
    port: int
    controller_port: int
    more: str = field(default="", kw_only=True)
    metrics_port: int | None = field(default=None, kw_only=True)  # where Prometheus may ask it
    lasts: bool = field(default=False, kw_only=True)
    cluster_id: str = field(kw_only=True, default_factory=lambda: uuid4().hex[:22])

    @property
    def bootstrap(self) -> str:
        """What clients connect to."""
        return f"127.0.0.1:{self.port}"

    @property
    def _properties(self) -> Path:
        return self.folder / "server.properties"

    def prepare(self) -> None:
        """Writes the configuration and formats the storage at the first start. Raises BrokerUnavailable."""
        if shutil.which("java") is None:
            raise BrokerUnavailable(
                "Java 17 or newer is missing: install a JRE (Debian: apt-get install openjdk-17-jre-headless)"
            )
        if not LIBS.is_dir():
            raise BrokerUnavailable("the broker's jars are missing: run `make setup`")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._properties.write_text(
            (KAFKA / "server.properties").read_text()
            + f"listeners=PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller_port}\n"
            + f"advertised.listeners=PLAINTEXT://{self.bootstrap}\n"
            + f"controller.quorum.voters=1@127.0.0.1:{self.controller_port}\n"
            + f"log.dirs={self.folder / 'data'}\n"
            + self.more
        )
        if not (self.folder / "data" / "meta.properties").exists():
            self._format()

    def _format(self) -> None:
        storage = self._java("kafka.tools.StorageTool", QUICK)
        command = [*storage, "format", "-t", self.cluster_id, "-c", str(self._properties)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BrokerUnavailable(f"Kafka could not format its storage: {done.stdout}{done.stderr}")

    def command(self) -> list[str]:
        """The broker's command line; it runs in the foreground and logs to its output."""
        compiler = () if self.lasts else (QUICK,)
        return [*self._java("kafka.Kafka", HEAP, *compiler, *self._agent()), str(self._properties)]

    def _agent(self) -> list[str]:
        if self.metrics_port is None:
            return []
        return [f"-javaagent:{AGENT}=127.0.0.1:{self.metrics_port}:{KAFKA / 'metrics.yml'}"]

    def _java(self, main: str, *options: str) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={KAFKA / 'log4j2.properties'}"
        return [
            "java",
            *options,
            "-XX:+UseSerialGC",  # two cores are shared with all of Eddy
            logging,
            *([f"-XX:SharedArchiveFile={CLASSES.resolve()}"] if CLASSES.exists() else []),
            "-cp",
            f"{LIBS.resolve()}{os.sep}*",  # the archive holds for these very paths
            main,
        ]


def archive_classes() -> None:
    """Starts a broker once, and keeps the classes that it has loaded. Raises BrokerUnavailable."""
    CLASSES.unlink(missing_ok=True)  # of jars that were here before: Java would write none beside it
    with TemporaryDirectory() as folder, ExitStack() as stack:
        sockets = [stack.enter_context(socket()) for _ in range(2)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        broker = Broker(Path(folder), *(int(each.getsockname()[1]) for each in sockets))
        stack.close()
        broker.prepare()
        part = CLASSES.with_suffix(".part")
        java, *arguments = broker.command()
        process = subprocess.Popen(
            [java, f"-XX:ArchiveClassesAtExit={part.resolve()}", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_WITHIN_S
        while not answers(broker.bootstrap) and time.monotonic() < deadline:
            time.sleep(0.1)
        process.terminate()
        process.wait(START_WITHIN_S)
        if not part.exists():
            raise BrokerUnavailable(f"Kafka did not start within {START_WITHIN_S:.0f} s")
        part.rename(CLASSES)


if __name__ == "__main__":
    archive_classes()
