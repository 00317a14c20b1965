"""Three brokers, and several of every service behind nginx: one after the other dies, joins, leaves or rolls.

`make test-cluster`. What was answered 202 counts once, and every open page is back 15 s after each fault.
"""

import asyncio
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Final

import msgspec
import numpy as np
import pytest

from infra.stack.broker import LIBS, ROOT
from services.kafka import admin
from services.settings import TopicSettings
from tests.benchmark.faults import ClusterFigures, FaultFigures, curve_of
from tests.benchmark.machine import this_machine
from tests.benchmark.spread import Spread
from tests.benchmark.usage import Processes, Stopwatch
from tests.support.cluster import NODES, Cluster, run_cluster
from tests.support.crowd import Count, Crowd, Gaps, Shopper, count, first_click, wrong_pages
from tests.support.fleet import Fleet, Front, run_front
from tests.support.machine import skip_or_fail
from tests.support.patience import eventually
from tests.support.shop import CATALOGUE, COUNT, Shop

pytestmark = pytest.mark.timeout(1500)

MEMBERS: Final = {"ingest": 2, "session_processor": 4, "recommender": 2}  # the fourth worker joins later
LATER: Final = "session_processor-4"
# It comes and goes as an autoscaler's does.
OWN: Final = {LATER: {"EDDY_SESSION_PROCESSOR_LEAVES": "true"}}
# Events a second. Two cores hold more, but then it is their queue that is measured, not the fault.
RATE: Final = float(os.environ.get("CLUSTER_RATE", "60"))
PAGES: Final = 150
CALM_S: Final = 40.0  # before the first fault: the brokers' code is compiled in the first half
AFTER_S: Final = 8.0  # the curve goes on, once every page is back
BACK_WITHIN_S: Final = 15.0
CLOSED_S: Final = 0.2  # by then a page knows that its socket is gone
GIVES_UP_S: Final = 120.0
SETTLE_S: Final = 60.0
FIGURES: Final = ROOT / "build" / "cluster.json"


class Faults:
    """What is done to the cluster while the crowd clicks, and what the crowd sees of it."""

    def __init__(self, crowd: Crowd, cluster: Cluster, fleet: Fleet) -> None:
        self._crowd = crowd
        self._cluster = cluster
        self._fleet = fleet
        self._spans: list[tuple[float, float]] = []
        self._figures: list[FaultFigures] = []

    async def strike(self, name: str, blow: Callable[[], object]) -> None:
        """Does it, and waits until all pages of before are connected, and have shown a later click."""
        self._fleet.check_alive()
        pages: list[Shopper] = list(self._crowd.open)
        self._crowd.answers, self._crowd.pushes = Gaps(), Gaps()
        self._crowd.refusals.clear()
        began = monotonic()
        await asyncio.to_thread(blow)
        done = monotonic()
        await asyncio.sleep(CLOSED_S)
        await eventually(lambda: all(each.is_connected for each in self._crowd.still_open(pages)), GIVES_UP_S)
        sockets_s = monotonic() - done
        await eventually(lambda: not self._crowd.behind(pages, done), GIVES_UP_S)
        firsts = [click for each in pages if (click := first_click(each, done)) is not None]
        click_s = max(shown - made for made, shown in firsts)
        lasted_s = done - began
        print(f"{name}: {lasted_s:.1f} s, sockets {sockets_s:.1f} s, next click {click_s:.1f} s", flush=True)
        print(f"  sockets: {dict(self._crowd.refusals)}", flush=True)
        # The rest of a curve has to come before the next fault.
        await asyncio.sleep(AFTER_S)
        self._spans.append((began, monotonic()))
        self._figures.append(
            FaultFigures(
                name=name,
                lasted_s=round(lasted_s, 1),
                sockets_back_s=round(sockets_s, 1),
                next_click_s=round(click_s, 1),
                longest_without_202_s=round(self._crowd.answers.longest_s, 2),
                longest_without_push_s=round(self._crowd.pushes.longest_s, 2),
                curve=[],
            )
        )

    async def mend(self, what: Callable[[], object]) -> None:
        """What is not measured: the dead one comes back, and all is calm again."""
        await asyncio.to_thread(what)
        await asyncio.sleep(AFTER_S)

    def figures(self) -> list[FaultFigures]:
        """Those of all faults, with the curves of what was shown by now."""
        return [
            msgspec.structs.replace(each, curve=curve_of(self._crowd.shown, *span))
            for each, span in zip(self._figures, self._spans, strict=True)
        ]

    async def run(self) -> None:
        """One after the other."""
        fleet, cluster = self._fleet, self._cluster
        # All lead partitions; of the three it is the one whose death costs most.
        leader = cluster.active_controller()
        await self.strike("a broker that leads, kill -9", partial(cluster.kill, leader))
        cluster.start_node(leader)
        await self.mend(cluster.wait_until_in_sync)
        for victim in ("session_processor-1", "recommender-1", "ingest-1"):
            service, _, _ = victim.rpartition("-")
            name = f"a {service.replace('_', ' ')}, kill -9" if service != "ingest" else "an ingest, kill -9"
            await self.strike(name, partial(fleet.kill, victim))
            await self.mend(partial(fleet.start, victim))
        await self.strike("a worker joins", partial(fleet.start, LATER))
        await self.strike("a worker leaves, SIGTERM", partial(fleet.stop, LATER))
        for service in MEMBERS:
            await self.strike(f"all {service.replace('_', ' ')}s rolled", partial(self._roll, service))
        await self.strike("all brokers rolled", self._roll_brokers)

    def _roll(self, service: str) -> None:
        for name in [each for each in self._fleet.running if each.startswith(service)]:
            self._fleet.stop(name)
            self._fleet.start(name)

    def _roll_brokers(self) -> None:
        for node in self._cluster.nodes:
            self._cluster.stop_node(node)
            self._cluster.start_node(node)
            self._cluster.wait_until_in_sync()


async def test_every_fault_is_over_within_15_s_and_no_event_is_lost(tmp_path: Path) -> None:
    if shutil.which("java") is None or shutil.which("nginx") is None or not LIBS.is_dir():
        skip_or_fail("a cluster needs Java 17, the jars of `make setup` and nginx")
    with ExitStack() as stack:
        cluster, settings = await asyncio.to_thread(stack.enter_context, run_cluster(tmp_path / "kafka"))
        await asyncio.to_thread(admin.create, settings, replication=settings.topic_replicas)
        shop = Shop(settings)
        await shop.put(*CATALOGUE)
        await shop.put_vectors(*range(COUNT))
        fleet = Fleet(settings, tmp_path, MEMBERS, OWN)
        stack.callback(fleet.end)
        first = [each.name for service in MEMBERS for each in fleet.of(service) if each.name != LATER]
        await asyncio.to_thread(fleet.start, *first)
        (tmp_path / "nginx").mkdir()
        front = stack.enter_context(
            run_front(tmp_path / "nginx", fleet.of("ingest"), fleet.of("recommender"))
        )
        figures = await strike_all(settings, cluster, fleet, front)
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=1))
    print(msgspec.json.encode(msgspec.structs.replace(figures, faults=[])).decode())
    assert figures.left.is_whole, figures.left
    assert figures.wrong_pages == 0
    late = [
        each.name for each in figures.faults if max(each.sockets_back_s, each.next_click_s) > BACK_WITHIN_S
    ]
    assert not late


async def strike_all(settings: TopicSettings, cluster: Cluster, fleet: Fleet, front: Front) -> ClusterFigures:
    """The whole run, with what is left of it."""
    machine = this_machine()
    products = [each.product_id for each in CATALOGUE]
    crowd = Crowd(front.ingest_url, front.recommender_url, products, rate=RATE, retry=True)
    async with crowd.watching():
        await crowd.arrive(PAGES, since_long=True)
        stopping = asyncio.Event()
        clicking = asyncio.create_task(crowd.click_until(stopping.is_set))
        await asyncio.sleep(CALM_S / 2)
        usage = Stopwatch(Processes({**cluster.pids, **fleet.pids, "nginx": front.pid}))
        await asyncio.sleep(CALM_S / 2)
        began, cores = monotonic(), add_up(usage.cores())
        calm = [seen - made for made, seen in crowd.shown if made > began - CALM_S / 2]
        print(f"calm: {Spread.of(np.array(calm))}, cores {cores}", flush=True)
        accepted = crowd.accepted
        faults = Faults(crowd, cluster, fleet)
        try:
            await faults.run()
        except BaseException:
            clicking.cancel()
            raise
        reached = (crowd.accepted - accepted) / (monotonic() - began)
        stopping.set()
        await clicking
        settling = monotonic()
        left, wrong = await settle(settings, front, crowd, settling + SETTLE_S)
        return ClusterFigures(
            machine=machine,
            brokers=NODES,
            replicas=settings.topic_replicas,
            members=dict(MEMBERS),
            rate=RATE,
            reached=round(reached, 1),
            pages=PAGES,
            calm=Spread.of(np.array(calm)),
            cores=cores,
            faults=faults.figures(),
            accepted=crowd.accepted,
            settled_after_s=round(monotonic() - settling, 1),
            left=left,
            wrong_pages=len(wrong),
        )


def add_up(cores: Mapping[str, float]) -> dict[str, float]:
    """What all processes of a kind take, which is what their names begin with."""
    kinds = defaultdict[str, float](float)
    for name, each in cores.items():
        kinds[name.partition("-")[0]] += each
    return {kind: round(each, 2) for kind, each in kinds.items()}


async def settle(
    settings: TopicSettings, front: Front, crowd: Crowd, until: float
) -> tuple[Count, list[str]]:
    """The counts once all is right, or as they are when the time is over."""
    while True:
        left = await asyncio.to_thread(count, settings, crowd.shoppers)
        wrong = await wrong_pages(front.recommender_url, crowd.open)
        if (left.is_whole and not wrong) or monotonic() > until:
            return left, wrong
        await asyncio.sleep(1)
