"""A small shop and its visitors' events, for the tests of the session."""

import numpy as np

from schemas.directions import unpack
from schemas.events import Event, EventType
from schemas.products import Product
from schemas.sessions import Session
from schemas.vectors import Layout, Matrix
from services.model.session import Tuning, fold
from services.vector_replica import VectorReplica

LAYOUT = Layout.of(text_width=8, image_width=4)
TUNING = Tuning()
MINUTE = 60_000
DAY = 24 * 60 * MINUTE
CATEGORIES = ("Shoes", "Lamps", "Tents", "Hats")


def product(number: int, product_id: str | None = None, category: str | None = None) -> Product:
    """Product `p<number>`; categories take turns."""
    return Product(
        product_id=product_id or f"p{number}",
        name=f"Product {number}",
        price=1.0,
        currency="EUR",
        availability="in_stock",
        updated_at=0,
        category=(category or CATEGORIES[number % len(CATEGORIES)], "Some"),
    )


def content(number: int, layout: Layout = LAYOUT) -> np.ndarray:
    """A vector of its own for each number, as it lies on the topic."""
    raw = np.random.default_rng(number).normal(size=layout.width)
    return layout.normalise(raw).astype(np.float16)


def replica(count: int = 20) -> VectorReplica:
    """Products p0 … p<count − 1>."""
    vectors = VectorReplica(LAYOUT)
    for number in range(count):
        vectors.put(product(number), content(number))
    return vectors


VECTORS = replica()


def event(number: int, at: int, product_id: str = "p1", type_: EventType = "view_item") -> Event:
    """An event of visitor `v` at `at` ms; the number makes its id."""
    return Event(
        event_id=f"00000000-0000-4000-8000-{number:012d}",
        type=type_,
        visitor_id="v",
        occurred_at=at,
        product_id=product_id,
    )


def fold_all(
    events: list[Event], vectors: VectorReplica = VECTORS, tuning: Tuning = TUNING, layout: Layout = LAYOUT
) -> Session:
    """The session after these events, one by one."""
    session = Session("v")
    for each in events:
        session = fold(session, each, vectors, layout, tuning)
    return session


def unpack_direction(packed: bytes, layout: Layout = LAYOUT) -> Matrix:
    """(width,) one direction as float32."""
    return unpack([packed], layout).reshape(-1)


def cosine(packed: bytes, product_id: str) -> float:
    """How near a direction is to a product, all segments together."""
    vector = VECTORS.vector(product_id)
    assert vector is not None
    return float(unpack_direction(packed) @ vector) / len(LAYOUT.widths)
