"""Three real brokers that are one cluster, from the same jars as the one of the other tests."""

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

from confluent_kafka.admin import AdminClient

from infra.stack.broker import KAFKA, Broker
from services.settings import TopicSettings
from tests.support.machine import free_ports
from tests.support.patience import patiently

NODES: Final = 3
OF_A_CLUSTER: Final = (KAFKA / "cluster.properties").read_text()


class Cluster:
    """The brokers by their number, and their processes."""

    def __init__(self, folder: Path) -> None:
        ports = free_ports(2 * NODES)
        voters = ",".join(f"{node}@127.0.0.1:{ports[2 * node - 1]}" for node in range(1, NODES + 1))
        cluster_id = uuid4().hex[:22]
        self._brokers = {
            node: Broker(
                folder / str(node),
                ports[2 * node - 2],
                ports[2 * node - 1],
                more=f"{OF_A_CLUSTER}node.id={node}\ncontroller.quorum.voters={voters}\n",
                cluster_id=cluster_id,
            )
            for node in range(1, NODES + 1)
        }
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self.bootstrap = ",".join(each.bootstrap for each in self._brokers.values())

    def start(self) -> None:
        """Returns when all are there."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(Broker.prepare, self._brokers.values()))
        for node in self._brokers:
            self.start_node(node)
        self.wait_until_in_sync()

    @property
    def nodes(self) -> list[int]:
        """The brokers' numbers."""
        return [*self._brokers]

    @property
    def pids(self) -> dict[str, int]:
        """`kafka-1` and so on, as far as they run → their process."""
        return {f"kafka-{node}": process.pid for node, process in self._processes.items()}

    def start_node(self, node: int) -> None:
        """Starts one; returns at once."""
        broker = self._brokers[node]
        with (broker.folder / "log").open("ab") as log:
            self._processes[node] = subprocess.Popen(broker.command(), stdout=log, stderr=subprocess.STDOUT)

    def wait_until_in_sync(self) -> None:
        """Returns when all brokers are there, and have all that they are to have."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

        @patiently(120, 0.2)
        def check_replicas() -> None:
            found = admin.list_topics(timeout=2)
            assert len(found.brokers) == NODES
            for topic in found.topics.values():
                for each in topic.partitions.values():
                    assert len(each.isrs) == len(each.replicas), (topic.topic, each.id)

        check_replicas()

    def leader(self, topic: str, partition: int) -> int:
        """The number of the broker that leads a partition."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        return int(admin.list_topics(topic, timeout=10).topics[topic].partitions[partition].leader)

    def active_controller(self) -> int:
        """The number of the broker that leads the others' metadata, as they have noted it last."""
        noted = [
            json.loads(each.read_text())
            for broker in self._brokers.values()
            for each in broker.folder.rglob("quorum-state")
        ]
        return int(max(noted, key=lambda each: (each["leaderEpoch"], each["leaderId"]))["leaderId"])

    def kill(self, node: int) -> None:
        """kill -9."""
        process = self._processes.pop(node)
        process.kill()
        process.wait()

    def stop_node(self, node: int) -> None:
        """SIGTERM: it hands what it leads over before it ends."""
        process = self._processes.pop(node)
        process.terminate()
        process.wait(60)

    def stop(self) -> None:
        """Ends those that still run."""
        for node in list(self._processes):
            self.kill(node)


@contextmanager
def run_cluster(folder: Path) -> Iterator[tuple[Cluster, TopicSettings]]:
    """A cluster for the block, and the settings of services on it."""
    with ExitStack() as stack:
        cluster = Cluster(folder)
        stack.callback(cluster.stop)
        cluster.start()
        yield (
            cluster,
            TopicSettings(kafka_bootstrap=cluster.bootstrap, topic_prefix="t.", topic_replicas=NODES),
        )
