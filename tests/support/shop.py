"""A shop of the tests: its catalogue, what happens in it, and a client of the recommender."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import msgspec
import numpy as np
from pydantic import SecretStr
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from infra.stack.broker import Broker
from schemas import products, sessions, vectors
from schemas.events import Event, EventType
from schemas.products import Product
from schemas.sessions import Session
from schemas.topics import MODELS, PRODUCT_VECTORS, PRODUCTS, SESSIONS
from schemas.vectors import Layout, ProductVectors
from services.kafka.clients import AcknowledgedProducer, Headers, OutgoingMessage
from services.model.session import Tuning, fold
from services.settings import ServiceSettings
from services.vector_replica import VectorReplica
from services.web.auth import TokenSigner
from tests.support.kafka import create_topics, quick_config
from tests.support.services import SECRET, RunningService

Json = dict[str, Any]

LAYOUT = Layout.of(384, 64)
SHELVES = ("Shoes", "Lamps", "Tents")
WITHIN_S = 10


def product(number: int, **fields: object) -> Product:
    made = Product(
        product_id=f"p{number}",
        name=f"Product {number}",
        price=10.0 + number,
        currency="EUR",
        availability="in_stock",
        updated_at=1,
        category=(SHELVES[number % 3],),
        brand=f"Brand {number % 7}",
        popularity=round(1 / (number + 1), 3),
    )
    return msgspec.structs.replace(made, **fields)


def content(number: int) -> np.ndarray:
    """Products of one shelf are near each other."""
    rng = np.random.default_rng(number)
    shelf = np.random.default_rng(1000 + number % 3).normal(size=LAYOUT.width)
    return LAYOUT.normalise(shelf + 0.5 * rng.normal(size=LAYOUT.width))


COUNT = 60
CATALOGUE = [product(number) for number in range(COUNT)]


def replica() -> VectorReplica:
    made = VectorReplica(LAYOUT)
    for number, each in enumerate(CATALOGUE):
        made.put(each, content(number).astype(np.float16))
    return made


class Shop:
    """Writes what ingest, embedder and session processor would, and speaks to the recommender."""

    def __init__(self, settings: ServiceSettings, secret: str = SECRET) -> None:
        self.settings = settings
        self._producer = AcknowledgedProducer(quick_config(settings, linger_ms=0))
        self._vectors = replica()
        self._tokens = TokenSigner(SecretStr(secret), settings.topic_prefix)
        self._events: dict[str, list[Event]] = {}

    async def put(self, *changed: Product) -> None:
        await self._send(PRODUCTS.name, [(each.product_id, products.encode(each), []) for each in changed])

    async def delete(self, product_id: str) -> None:
        await self._send(PRODUCTS.name, [(product_id, None, [])])

    async def put_vectors(self, *numbers: int) -> None:
        await self.embed(*((product(number), content(number)) for number in numbers))

    async def embed(self, *made: tuple[Product, np.ndarray]) -> None:
        """Publishes the content vectors of products."""
        for each, vector in made:
            self._vectors.put(each, vector.astype(np.float16))
        found = [
            ProductVectors(
                product=each,
                layout=LAYOUT.id,
                content=vectors.pack(vector),
                hashes={},
                models={"text": "of the test"},
            )
            for each, vector in made
        ]
        await self._send(
            PRODUCT_VECTORS.name, [(each.product.product_id, vectors.encode(each), []) for each in found]
        )

    async def look_at(self, visitor_id: str, product_id: str) -> str:
        """Publishes the visitor's session after one more view; the event's id."""
        return await self.happens(visitor_id, "view_item", product_id)

    async def happens(self, visitor_id: str, type_: EventType, product_id: str, at: int | None = None) -> str:
        """Publishes the visitor's session after one more event, long ago or `at` Unix ms; the event's id."""
        known = self._events.setdefault(visitor_id, [])
        known.append(
            Event(
                event_id=str(uuid4()),
                type=type_,
                visitor_id=visitor_id,
                occurred_at=1_000 * len(known) if at is None else at,
                product_id=product_id,
            )
        )
        await self.publish(visitor_id)
        return known[-1].event_id

    async def publish(self, visitor_id: str) -> None:
        """Publishes the visitor's session as it is."""
        known, session = self._events[visitor_id], Session(visitor_id)
        for event in known:
            session = fold(session, event, self._vectors, LAYOUT, Tuning())
        headers: Headers = [
            ("caused_by", known[-1].event_id),
            ("accepted_at", "1000"),
            ("folded_at", "1001.5"),
        ]
        await self._send(SESSIONS.name, [(visitor_id, sessions.encode(session), headers)])

    async def put_model(self, name: str, message: bytes | None) -> None:
        await self._send(MODELS.name, [(name, message, [])])

    async def _send(self, topic: str, found: Sequence[tuple[str, bytes | None, Headers]]) -> None:
        messages: list[OutgoingMessage] = [(key.encode(), value, headers) for key, value, headers in found]
        await self._producer.send_all(self.settings.topic_prefix + topic, messages)

    def token(self, visitor_id: str) -> str:
        return self._tokens.issue(visitor_id).token

    @asynccontextmanager
    async def live(self, to: RunningService, visitor_id: str, *slots: Json) -> AsyncIterator["Live"]:
        query = f"visitor_id={visitor_id}&token={quote(self.token(visitor_id))}"
        async with connect(f"{to.url.replace('http', 'ws', 1)}/v1/live?{query}", compression=None) as socket:
            live = Live(socket)
            if slots:
                await live.subscribe(*slots)
            yield live


class Live:
    """A client's end of a live socket."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def subscribe(self, *slots: Json) -> None:
        await self.socket.send(json.dumps({"type": "subscribe", "slots": slots}))

    async def next(self) -> Json:
        async with asyncio.timeout(WITHIN_S):
            message: Json = json.loads(await self.socket.recv())
        return message

    async def wait_for_close(self) -> tuple[int, str]:
        """How the server ends the socket; what comes until then is passed over."""
        with suppress(ConnectionClosed):
            while True:
                await self.next()
        return self.socket.close_code or 0, self.socket.close_reason or ""

    async def push_of(self, event_id: str) -> Json:
        """The push that an event caused; what was under way before is passed over."""
        while (message := await self.next()).get("caused_by") != event_id:
            pass
        return message


FOR_YOU = {"name": "for_you", "kind": "for_you", "k": 6}


def ids(message: Json) -> list[str]:
    return [item["product_id"] for item in message["items"]]


def shelf(product_id: str) -> str:
    return SHELVES[int(product_id[1:]) % 3]


def open_shop(broker: Broker, secret: str = SECRET) -> Shop:
    """A shop of its own, with the catalogue and its vectors."""
    return fill_shop(create_topics(broker), secret)


def fill_shop(settings: ServiceSettings, secret: str = SECRET) -> Shop:
    """The same on topics that are there, and empty."""
    shop = Shop(settings, secret)

    async def fill() -> None:
        await shop.put(*CATALOGUE)
        await shop.put_vectors(*range(COUNT))

    asyncio.run(fill())
    return shop


def get(service: RunningService, path: str, status: int = 200, **parameters: Any) -> Json:
    answer = service.http.get(path, params=parameters)
    assert answer.status_code == status, answer.text
    body: Json = answer.json()
    return body


def metrics(service: RunningService) -> str:
    return service.metrics()
