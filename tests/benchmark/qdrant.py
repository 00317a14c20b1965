"""A question to a Qdrant server by gRPC in the loop, beside REST in a thread. Only the ratio counts.

The server is a stand-in in Python on the same cores (`tests/support/qdrant_server.py`): its time and the
engine's are in both figures, so a real server's ratio is rather larger.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
import numpy as np

from schemas.vectors import Vector
from services.qdrant import ProductCollection, connect, connect_in_loop
from services.recommender.index.port import AVAILABLE, Where
from services.recommender.index.qdrant_server import SearchTuning, ServerIndex
from tests.support.qdrant import StandIn
from tests.support.shop import LAYOUT, product

PRODUCTS: Final = 2_000
NEIGHBOURS: Final = 200  # what a row of twelve asks for
QUESTIONS: Final = 150
AT_ONCE: Final = 8
ROUNDS: Final = 4  # of each way, one after the other
WHERE: Final = Where(availability=AVAILABLE)

Ask = Callable[[list[Vector]], Awaitable[object]]


class WayFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds: one question alone; CPU that it took of this process; and how long the loop stood still
    beside eight.
    """

    p50: float
    p99: float
    cpu: float
    loop_held_p99: float


class QdrantFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Both ways, and REST's time as a multiple of gRPC's."""

    products: int
    grpc: WayFigures
    rest: WayFigures
    ratio_p50: float
    ratio_p99: float
    ratio_cpu: float
    ratio_loop_held_p99: float


def main() -> None:
    """Prints the figures as JSON."""
    with TemporaryDirectory() as folder, ExitStack() as ends:
        server = StandIn(Path(folder), with_rest=True).start()
        ends.callback(server.kill)
        figures = asyncio.run(measure(server))
    sys.stdout.buffer.write(msgspec.json.encode(figures))


async def measure(server: StandIn) -> QdrantFigures:
    """Rounds of both ways in turn."""
    settings = server.settings(qdrant_timeout_s=60)  # the machine may be busy
    collection = ProductCollection(connect(settings), "products", LAYOUT)
    rng = np.random.default_rng(1)
    vectors = LAYOUT.normalise(rng.normal(size=(PRODUCTS, LAYOUT.width))).astype(np.float32)
    for start in range(0, PRODUCTS, 250):
        collection.upsert([(product(n), vectors[n]) for n in range(start, start + 250)])
    # Of 127.0.0.1 qdrant-client thinks that a connection is not worth keeping; a server is elsewhere.
    url = f"http://127.0.0.2:{server.rest_port}"
    by_rest = server.settings(qdrant_url=url, qdrant_prefer_grpc=False, qdrant_timeout_s=60)
    rest_collection = ProductCollection.__new__(ProductCollection)  # opened by gRPC: REST knows one question
    rest_collection.client, rest_collection.name = connect(by_rest), "products"
    grpc = ServerIndex(collection, connect_in_loop(settings), SearchTuning.of(settings))
    rest = ServerIndex(rest_collection, None, SearchTuning.of(by_rest))  # in a thread, as it was

    def ask_grpc(queries: list[Vector]) -> Awaitable[object]:
        return grpc.ask(queries, NEIGHBOURS, WHERE)

    def ask_rest(queries: list[Vector]) -> Awaitable[object]:
        return rest.ask(queries, NEIGHBOURS, WHERE)

    alone: dict[str, list[float]] = {"grpc": [], "rest": []}
    cpu: dict[str, list[float]] = {"grpc": [], "rest": []}
    held: dict[str, list[float]] = {"grpc": [], "rest": []}
    for nth in range(ROUNDS + 1):
        for way, ask in (("grpc", ask_grpc), ("rest", ask_rest)):
            began = time.process_time()
            took = await time_alone(ask, vectors)
            spent = (time.process_time() - began) / QUESTIONS
            stood = await time_loop(ask, vectors)
            if nth:  # the first warms up
                alone[way] += took
                cpu[way].append(spent)
                held[way] += stood
    await grpc.hang_up()
    grpc.close()
    rest.close()
    ways = {way: summarise(alone[way], cpu[way], held[way]) for way in alone}
    return QdrantFigures(
        products=PRODUCTS,
        **ways,
        ratio_p50=round(ways["rest"].p50 / ways["grpc"].p50, 2),
        ratio_p99=round(ways["rest"].p99 / ways["grpc"].p99, 2),
        ratio_cpu=round(ways["rest"].cpu / ways["grpc"].cpu, 2),
        ratio_loop_held_p99=round(ways["rest"].loop_held_p99 / ways["grpc"].loop_held_p99, 2),
    )


async def time_alone(ask: Ask, vectors: np.ndarray) -> list[float]:
    """Seconds of each question, one after the other; three interests a question."""
    took = []
    for nth in range(QUESTIONS):
        started = time.perf_counter()
        await ask([vectors[3 * nth], vectors[3 * nth + 1], vectors[3 * nth + 2]])
        took.append(time.perf_counter() - started)
    return took


async def time_loop(ask: Ask, vectors: np.ndarray) -> list[float]:
    """How much longer than asked for the loop slept while questions were under way: what other rows wait."""
    late, done = [], asyncio.Event()

    async def sleep() -> None:
        while not done.is_set():
            started = time.perf_counter()
            await asyncio.sleep(0.001)
            late.append(time.perf_counter() - started - 0.001)

    async def go_on(first: int) -> None:
        for nth in range(first, QUESTIONS, AT_ONCE):
            await ask([vectors[3 * nth], vectors[3 * nth + 1], vectors[3 * nth + 2]])

    watching = asyncio.create_task(sleep())
    await asyncio.gather(*(go_on(first) for first in range(AT_ONCE)))
    done.set()
    await watching
    return late


def summarise(alone: list[float], cpu: list[float], held: list[float]) -> WayFigures:
    """In ms."""
    p50, p99 = np.percentile(alone, [50, 99]) * 1000
    return WayFigures(
        p50=round(float(p50), 2),
        p99=round(float(p99), 2),
        cpu=round(float(np.mean(cpu)) * 1000, 2),
        loop_held_p99=round(float(np.percentile(held, 99)) * 1000, 2),
    )


if __name__ == "__main__":
    main()
