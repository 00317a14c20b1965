"""One fold of a full session at 1,000 components, beside the bare matrix product that no fold can do without.

`python -m tests.benchmark.fold` prints the figures as JSON.
"""

import gc
from collections.abc import Callable, Iterator
from itertools import count
from typing import Final
from uuid import UUID

import msgspec
import numpy as np

from schemas.events import Event
from schemas.products import Product
from schemas.sessions import SESSION_EVENTS_MAX, Session, decode, encode
from schemas.vectors import Layout
from services.model.session import Tuning, fold
from services.vector_replica import VectorReplica
from tests.benchmark.stopwatch import time_call

LAYOUT: Final = Layout.of(text_width=484, image_width=192)  # 1,000 components
PRODUCTS: Final = 10_000  # 20 MB of rows: no processor's cache holds them all
CATEGORIES: Final = 8
ROUNDS: Final = 4_000
WARM_UP: Final = 500
SEED: Final = 7
TUNING: Final = Tuning()

# How far apart the 64 events are, in ms: all in one visit; visits of eight; each a visit by itself.
APART: Final = {
    "one visit": lambda number: number * 20_000,
    "eight visits": lambda number: number * 60_000 + number // 8 * 3_600_000,
    "64 visits": lambda number: number * 2_000_000,
}


class Microseconds(msgspec.Struct, frozen=True):
    """Percentiles of one measured thing."""

    p50: float
    p90: float
    p99: float

    @classmethod
    def of(cls, seconds: list[float]) -> "Microseconds":
        """From seconds."""
        return cls(*(round(float(each) * 1e6, 1) for each in np.percentile(seconds, [50, 90, 99])))


class FoldFigures(msgspec.Struct, frozen=True):
    """Folds by kind of session, beside the bare product and a session's way to bytes and back.

    `bare` reads the rows of 64 products from the replica and multiplies (4, 64) · (64, components): a row for
    the session and one for each interest. `bytes` is the size of the largest session.
    """

    components: int
    events: int
    bytes: int
    folds: dict[str, Microseconds]
    bare: Microseconds
    to_bytes_and_back: Microseconds


def measure() -> FoldFigures:
    """All of them take turns, so that a busy moment of the machine meets them alike."""
    vectors, random = replica(), np.random.default_rng(SEED)
    streams = {name: _events(apart, random) for name, apart in APART.items()}
    sessions = {name: _full(stream, vectors) for name, stream in streams.items()}
    taken: dict[str, list[float]] = {name: [] for name in streams}
    bare, both_ways = [], []
    coefficients = random.random((4, SESSION_EVENTS_MAX), dtype=np.float32)
    gc.collect()
    gc.freeze()  # as the worker does once it has recovered
    for _ in range(WARM_UP + ROUNDS):
        for name, stream in streams.items():
            event = next(stream)
            seconds, sessions[name] = time_call(lambda: fold(sessions[name], event, vectors, LAYOUT, TUNING))  # noqa: B023
            taken[name].append(seconds)
        ids = [entry.product_id for entry in sessions["one visit"].events]
        bare.append(time_call(lambda: coefficients @ vectors.matrix(ids)[0])[0])  # noqa: B023
        both_ways.append(time_call(lambda: decode(encode(sessions["one visit"])))[0])
    return FoldFigures(
        components=LAYOUT.width,
        events=SESSION_EVENTS_MAX,
        bytes=max(len(encode(session)) for session in sessions.values()),
        folds={name: Microseconds.of(seconds[WARM_UP:]) for name, seconds in taken.items()},
        bare=Microseconds.of(bare[WARM_UP:]),
        to_bytes_and_back=Microseconds.of(both_ways[WARM_UP:]),
    )


def replica() -> VectorReplica:
    """A catalogue of made-up vectors, ids of 24 characters."""
    random, vectors = np.random.default_rng(SEED), VectorReplica(LAYOUT)
    content = LAYOUT.normalise(random.normal(size=(PRODUCTS, LAYOUT.width))).astype(np.float16)
    for number, row in enumerate(content):
        vectors.put(
            Product(
                product_id=_product_id(number),
                name="x",
                price=1.0,
                currency="EUR",
                availability="in_stock",
                updated_at=0,
                category=(f"Category {number % CATEGORIES}",),
            ),
            row,
        )
    return vectors


def _product_id(number: int) -> str:
    return f"product-{number:016d}"


def _events(apart: Callable[[int], int], random: np.random.Generator) -> Iterator[Event]:
    for number in count():
        yield Event(
            event_id=str(UUID(bytes=random.bytes(16))),
            type="view_item",
            visitor_id="01JD7Z8QX3N5R2V9W4T6Y8B1CM",
            occurred_at=1_700_000_000_000 + apart(number),
            product_id=_product_id(int(random.integers(PRODUCTS))),
        )


def _full(stream: Iterator[Event], vectors: VectorReplica) -> Session:
    session = Session("01JD7Z8QX3N5R2V9W4T6Y8B1CM")
    for _ in range(SESSION_EVENTS_MAX):
        session = fold(session, next(stream), vectors, LAYOUT, TUNING)
    assert len(session.events) == SESSION_EVENTS_MAX
    return session


if __name__ == "__main__":
    print(msgspec.json.format(msgspec.json.encode(measure())).decode())
