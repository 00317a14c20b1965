"""What CPU time an event costs ingest: one a request, as pages send them, beside a bare Starlette route.

`python -m tests.benchmark.ingest` prints the figures as JSON. `--rates 300,1000`, `--seconds 20`.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Annotated, Final, cast

import httptools
import numpy as np
import typer
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from ulid import ULID

from services.clock import now_ms
from services.kafka.admin import create
from services.settings import ServiceSettings
from services.web.auth import TOKEN_HEADER, TokenSigner
from services.web.server import serve
from tests.benchmark.arrivals import poisson
from tests.benchmark.brokers import broker
from tests.benchmark.spread import Spread
from tests.benchmark.usage import Processes, Stopwatch
from tests.support.launcher import start_fresh
from tests.support.machine import free_ports
from tests.support.services import PAGE, SECRET, RunningService, run_service

PAGES: Final = 100  # open pages, each with one connection that stays open
WARM_UP_S: Final = 4.0
ANSWER: Final = b'{"accepted":1,"rejected":[]}'  # as long as ingest's

ENVIRONMENT: Final = {"EDDY_AUTH": "required", "EDDY_RATE_TOKEN": "1000", "EDDY_RATE_TOKEN_EVENTS": "1000"}


async def _accept(request: Request) -> Response:
    await request.body()
    return Response(ANSWER, 202, media_type="application/json")


def serve_bare(port: int) -> None:
    """The least that can answer: our server around one route, which reads the body and keeps nothing."""
    app = Starlette(routes=[Route("/readyz", _accept), Route("/v1/events", _accept, methods=["POST"])])
    serve(lambda: app, "bare", "127.0.0.1", port)


class _Page(asyncio.Protocol):
    """A keep-alive connection that posts one event after the other; what is due meanwhile waits."""

    def __init__(self, signer: TokenSigner) -> None:
        self.visitor_id = str(ULID())
        self._head = (
            f"POST /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: {PAGE}\r\nUser-Agent: Mozilla/5.0\r\n"
            f"Accept: */*\r\nAccept-Language: en-GB\r\nReferer: {PAGE}/\r\nContent-Type: text/plain\r\n"
            f"{TOKEN_HEADER}: {signer.issue(self.visitor_id).token}\r\nContent-Length: "
        )
        self._waiting: list[float] = []
        self.took: list[float] = []
        self.refused = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpResponseParser(self)

    def post(self, due: float, product: int) -> None:
        event = {
            "event_id": str(ULID()),
            "type": "view_item",
            "visitor_id": self.visitor_id,
            "product_id": f"p{product:04}",
            "occurred_at": int(now_ms()),
            "context": {"page": f"/product/p{product:04}", "locale": "en-GB", "device": "desktop"},
        }
        body = json.dumps({"events": [event]}, separators=(",", ":"))
        self._waiting.append(due)
        self._transport.write(f"{self._head}{len(body)}\r\n\r\n{body}".encode())

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self.refused += self._parser.get_status_code() != 202
        self.took.append(perf_counter() - self._waiting.pop(0))

    @property
    def is_idle(self) -> bool:
        return not self._waiting


async def _load(port: int, rate: int, seconds: float, signer: TokenSigner, pid: int) -> dict[str, object]:
    loop = asyncio.get_running_loop()
    pages = [
        (await loop.create_connection(lambda: _Page(signer), "127.0.0.1", port))[1] for _ in range(PAGES)
    ]
    rng = np.random.default_rng(7)
    await _send(pages, poisson(rate, WARM_UP_S, rng))
    for page in pages:
        page.took.clear()
    watch, due = Stopwatch(Processes({"it": pid})), poisson(rate, seconds, rng)
    began = perf_counter()
    await _send(pages, due)
    took, cores = perf_counter() - began, watch.cores()["it"]
    assert not sum(page.refused for page in pages), "events were refused"
    spread = Spread.of(np.array([each for page in pages for each in page.took]))
    for page in pages:
        page._transport.close()
    return {
        "events_per_s": rate,
        "cpu_us_an_event": round(cores * took / len(due) * 1e6, 1),
        "answer_ms": {"p50": spread.p50, "p90": spread.p90, "p99": spread.p99, "max": spread.max},
    }


async def _send(pages: list[_Page], due: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> None:
    began = perf_counter()
    for number, at in enumerate(due.tolist()):
        while (wait := began + at - perf_counter()) > 0:  # noqa: ASYNC110 - a clock
            await asyncio.sleep(wait)
        pages[number % PAGES].post(began + at, number % 600)
    async with asyncio.timeout(30):
        while not all(page.is_idle for page in pages):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@contextmanager
def _bare(log: Path) -> Iterator[RunningService]:
    port = free_ports(1)[0]
    with log.open("ab") as output:
        process = start_fresh(
            "tests.benchmark.ingest",
            environment=dict(os.environ) | {"EDDY_BARE_PORT": str(port)},
            stdout=output,
            stderr=output,
        )
    service = RunningService(process, port, log)
    try:
        service.wait_for("/readyz")
        yield service
    finally:
        service.http.close()
        service.kill()


def measure(
    rates: Annotated[str, typer.Option(help="events a second, comma-separated")] = "300,1000",
    seconds: Annotated[float, typer.Option(help="how long each rate is kept up")] = 20.0,
) -> None:
    """CPU microseconds an event, and how long pages wait for their answers."""
    signer = TokenSigner(SecretStr(SECRET))
    figures = []
    with broker() as brokers, tempfile.TemporaryDirectory() as folder:
        settings = ServiceSettings(kafka_bootstrap=brokers.bootstrap)
        create(settings)
        logs = Path(folder)
        with (
            run_service("ingest", settings, logs / "ingest", environment=ENVIRONMENT, fresh=True) as ingest,
            _bare(logs / "bare") as bare,
        ):
            for rate in map(int, rates.split(",")):
                of_bare = asyncio.run(_load(bare.port, rate, seconds, signer, bare.process.pid))
                ours = asyncio.run(_load(ingest.port, rate, seconds, signer, ingest.process.pid))
                ratio = cast(float, ours["cpu_us_an_event"]) / cast(float, of_bare["cpu_us_an_event"])
                figures.append({"ingest": ours, "bare": of_bare, "ratio": round(ratio, 2)})
    json.dump(figures, sys.stdout, indent=2)


if __name__ == "__main__":
    if port := os.environ.get("EDDY_BARE_PORT"):
        serve_bare(int(port))
    else:
        typer.run(measure)
