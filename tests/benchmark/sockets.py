"""Open pages of one recommender: what each costs in memory, how many open a second, how soon all are back.

`python -m tests.benchmark.sockets --pages 10000` prints the figures as JSON. Each page has a visitor of its
own with some clicks, and shows one row of kind for_you. The recommender is killed and started again, and the
pages come back as live.js brings them.
"""

import asyncio
import json
import os
import resource
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import psutil
import typer
import uvloop
from confluent_kafka import Producer
from pydantic import SecretStr

from schemas import sessions
from schemas.events import Event
from schemas.sessions import Session
from schemas.topics import SESSIONS
from services.clock import now_ms
from services.kafka.admin import create
from services.model.session import Tuning, fold
from services.settings import ServiceSettings
from services.vector_replica import VectorReplica
from services.web.auth import TokenSigner
from tests.benchmark.brokers import broker, put
from tests.benchmark.open_pages import Pages
from tests.benchmark.scale import SHELVES, Shop, draw_product
from tests.benchmark.spread import Spread
from tests.benchmark.usage import MB, cpu_s
from tests.support.machine import free_ports
from tests.support.services import SECRET, RunningService, run_service

KB: Final = 1_000
SPARE_FILES: Final = 400
TASTES: Final = 200  # different sessions; visitors take turns
WARM: Final = 400  # pages that open and close before anything is measured
AT_ONCE: Final = 100
SETTLE_S: Final = 3.0
READY_WITHIN_S: Final = 300.0
PRODUCTS: Final = 2_400


class Visitors:
    """So many visitors, each with a token and a session of some clicks on the topic."""

    def __init__(self, settings: ServiceSettings, shop: Shop, count: int, clicks: int) -> None:
        self._settings, self._shop, self._clicks = settings, shop, clicks
        signer = TokenSigner(SecretStr(SECRET), settings.topic_prefix)
        names = [f"v{number:06d}" for number in range(count + WARM)]
        self.all = [(each, signer.issue(each).token) for each in names]

    def send(self) -> None:
        """Publishes the sessions, acknowledged."""
        tastes = [*self._tastes()] if self._clicks else []
        producer = Producer({"bootstrap.servers": self._settings.kafka_bootstrap, "linger.ms": 5})
        for number, (visitor_id, _) in enumerate(self.all if tastes else ()):
            session = msgspec.structs.replace(tastes[number % TASTES], visitor_id=visitor_id)
            topic = self._settings.topic(SESSIONS)
            put(producer, topic, visitor_id.encode(), sessions.encode(session))
        producer.flush()

    def _tastes(self) -> Iterator[Session]:
        random, layout, now = np.random.default_rng(3), self._settings.layout, int(now_ms())
        replica = VectorReplica(layout)
        for number in range(PRODUCTS):
            replica.put(draw_product(number), self._shop.content(number).astype(np.float16))
        for _ in range(TASTES):
            session, shelf = Session("v"), int(random.integers(SHELVES))
            for click in range(self._clicks):
                product = (shelf + SHELVES * int(random.integers(4))) % PRODUCTS
                event = Event(
                    event_id=f"00000000-0000-4000-8000-{int(random.integers(1 << 40)):012x}",
                    type="view_item",
                    visitor_id="v",
                    occurred_at=now - 60_000 + 1_000 * click,
                    product_id=f"p{product:07d}",
                )
                session = fold(session, event, replica, layout, Tuning())
            yield session


def _allow_files(pages: int) -> None:
    """As many open files as the pages need; here and, by inheritance, in the recommender."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = pages + WARM + SPARE_FILES
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise typer.BadParameter(
            f"{pages:,} pages need {needed:,} open files, and this shell allows {hard:,} (ulimit -Hn): raise "
            f"that (nofile in /etc/security/limits.conf, LimitNOFILE of systemd), or ask for fewer --pages"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def _recommender(settings: ServiceSettings, folder: Path, port: int, pages: int) -> Iterator[RunningService]:
    most = {"EDDY_CONNECTIONS_MAX": str(pages + WARM + 100)}
    log = folder / "recommender"
    with run_service(
        "recommender", settings, log, environment=most, port=port, until="/healthz", fresh=True
    ) as it:
        yield it


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    return dict(msgspec.to_builtins(Spread.of(np.array(seconds))))


async def _open_pages(
    service: RunningService, visitors: Sequence[tuple[str, str]]
) -> tuple[Pages, dict[str, Any]]:
    """All pages open, and what that took."""
    warm = Pages(service.port, visitors[:WARM])
    await warm.open(AT_ONCE)
    warm.close()
    await asyncio.sleep(SETTLE_S)
    process, own = psutil.Process(service.process.pid), psutil.Process(os.getpid())
    before, used, ours = process.memory_info().rss, cpu_s(process), cpu_s(own)
    pages = Pages(service.port, visitors[WARM:])
    took = await pages.open(AT_ONCE)
    count, seconds = len(pages.all), took[-1]
    figures: dict[str, Any] = {
        "opened_a_second": round(count / pages.opened_s),
        "rows_a_second": round(count / seconds),
        "ms_cpu_an_opening": round(1_000 * (cpu_s(process) - used) / count, 3),
        "client_cores": round((cpu_s(own) - ours) / seconds, 2),
        "recommender_cores": round((cpu_s(process) - used) / seconds, 2),
    }
    await asyncio.sleep(SETTLE_S)
    figures["kb_a_page"] = round((process.memory_info().rss - before) / KB / count, 1)
    figures["mb"] = round(process.memory_info().rss / MB)
    return pages, figures


async def _measure_restart(
    pages: Pages, settings: ServiceSettings, folder: Path, service: RunningService
) -> dict[str, Any]:
    """Kills the recommender, starts it again, and waits until every page has a row."""
    pages.attempts = pages.polls = 0
    coming = asyncio.create_task(pages.come_back())
    await asyncio.sleep(0)
    began = perf_counter()
    service.kill()

    def start() -> Iterator[float]:
        with _recommender(settings, folder, service.port, len(pages.all)) as again:
            again.wait_for("/readyz", within_s=READY_WITHIN_S)
            yield perf_counter() - began
            yield cpu_s(psutil.Process(again.process.pid))

    running = start()
    ready_s = await asyncio.to_thread(next, running)
    took = await coming
    used = next(running)
    await asyncio.to_thread(next, running, None)
    return {
        "ready_s": round(ready_s, 1),
        "back_s": round(took[-1], 1),
        "back_s_after_ready": round(took[-1] - ready_s, 1),
        "back_ms": _spread(took),
        "connections_tried_a_page": round(pages.attempts / len(pages.all), 1),
        "rows_asked_for_over_http": pages.polls,
        "recommender_cpu_s": round(used, 1),
    }


async def _measure(settings: ServiceSettings, visitors: Visitors, *, restart: bool) -> dict[str, Any]:
    count = len(visitors.all) - WARM
    with tempfile.TemporaryDirectory() as folder:
        port = free_ports(1)[0]
        with _recommender(settings, Path(folder), port, count) as service:
            await asyncio.to_thread(service.wait_for, "/readyz", READY_WITHIN_S)
            typer.echo(f"opening {count:,} pages …", err=True)
            pages, figures = await _open_pages(service, visitors.all)
            if restart:
                typer.echo(f"{json.dumps(figures)}\nkilling and starting it again …", err=True)
                figures["after_kill"] = await _measure_restart(pages, settings, Path(folder), service)
            pages.close()
    return figures


def main(
    pages: Annotated[int, typer.Option(min=100, help="open pages")] = 5_000,
    clicks: Annotated[int, typer.Option(min=0, max=60, help="of each visitor before")] = 5,
    restart: Annotated[bool, typer.Option("--restart/--no-restart", help="kill it and wait for all")] = True,
) -> None:
    """Prints the figures as JSON."""
    _allow_files(pages)
    with broker() as brokers:
        settings = ServiceSettings(kafka_bootstrap=brokers.bootstrap)
        create(settings)
        shop = Shop(settings, PRODUCTS)
        typer.echo(f"sending {PRODUCTS:,} products and {pages:,} sessions …", err=True)
        shop.send(range(PRODUCTS))
        visitors = Visitors(settings, shop, pages, clicks)
        visitors.send()
        figures = uvloop.run(_measure(settings, visitors, restart=restart))
    json.dump({"pages": pages, "clicks": clicks, **figures}, sys.stdout, indent=2)


if __name__ == "__main__":
    typer.run(main)
