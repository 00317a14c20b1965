"""Three real brokers that are one cluster, from the same jars as the one of the other tests."""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

from confluent_kafka.admin import AdminClient

from infra.stack.broker import Broker
from services.settings import TopicSettings
from tests.support.machine import free_ports
from tests.support.patience import patiently

NODES: Final = 3
# What one node has for itself alone is there three times now.
MORE: Final = """\
node.id={node}
controller.quorum.voters={voters}
default.replication.factor=3
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2
broker.session.timeout.ms=6000
broker.heartbeat.interval.ms=1000
"""


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
                more=MORE.format(node=node, voters=voters),
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
        for node, broker in self._brokers.items():
            with (broker.folder / "log").open("wb") as log:
                self._processes[node] = subprocess.Popen(
                    broker.command(), stdout=log, stderr=subprocess.STDOUT
                )

        @patiently(120, 0.2)
        def all_are_there() -> None:
            admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
            assert len(admin.list_topics(timeout=2).brokers) == NODES

        all_are_there()

    def leader(self, topic: str, partition: int) -> int:
        """The number of the broker that leads a partition."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        return int(admin.list_topics(topic, timeout=10).topics[topic].partitions[partition].leader)

    def kill(self, node: int) -> None:
        """kill -9."""
        process = self._processes.pop(node)
        process.kill()
        process.wait()

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
