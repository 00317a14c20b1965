"""A recommender with many products: until it is ready, and again after kill -9, its memory, its rows.

`python -m tests.benchmark.scale --products 100000` prints the figures as JSON. Vectors are drawn: products of
one shelf are near each other. Rows of similar products are asked for at a steady rate, while products change.
"""

import json
import sys
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import perf_counter, sleep
from typing import Annotated, Any, Final

import httpx
import msgspec
import numpy as np
import psutil
import typer
from confluent_kafka import Producer
from pydantic import SecretStr
from websockets.sync.client import ClientConnection, connect

from schemas import products, vectors
from schemas.products import Product
from schemas.topics import PRODUCT_VECTORS, PRODUCTS
from schemas.vectors import Matrix, ProductVectors
from services.clock import now_ms
from services.kafka.admin import create
from services.settings import ServiceSettings
from services.web.auth import TokenSigner
from tests.benchmark.brokers import broker, put
from tests.benchmark.spread import Spread
from tests.benchmark.usage import MB, cpu_s
from tests.support.services import KEY, SECRET, RunningService, run_service

SHELVES: Final = 500
READY_WITHIN_S: Final = 1_800.0
SEED: Final = 11
K: Final = 12
SOLD: Final = 40
WITHIN_S: Final = 30.0
BEHIND_S: Final = 0.005  # between two looks at the clock


class Shop:
    """The products, as they are sent."""

    def __init__(self, settings: ServiceSettings, count: int) -> None:
        self._random = np.random.default_rng(SEED)
        self._settings, self.count = settings, count
        self._layout = settings.layout
        self._centres = self._random.normal(size=(SHELVES, self._layout.width))
        self._producer = Producer(
            {"bootstrap.servers": settings.kafka_bootstrap, "linger.ms": 5, "compression.type": "lz4"}
        )

    def send(self, numbers: Iterator[int] | range, *, price: float = 1.0) -> None:
        """Products and their vectors, acknowledged."""
        for number in numbers:
            product = draw_product(number, price)
            put(
                self._producer,
                self._settings.topic(PRODUCTS),
                key := product.product_id.encode(),
                products.encode(product),
            )
            put(self._producer, self._settings.topic(PRODUCT_VECTORS), key, self._vectors(product, number))
        self._producer.flush()

    def send_product(self, product: Product) -> None:
        """A product alone, acknowledged."""
        content = products.encode(product)
        put(self._producer, self._settings.topic(PRODUCTS), product.product_id.encode(), content)
        self._producer.flush()

    def content(self, number: int) -> Matrix:
        """(width,) the vector of a product: those of one shelf are near each other."""
        own = np.random.default_rng(number).normal(size=self._layout.width)
        return self._layout.normalise(self._centres[number % SHELVES] + own).astype(np.float32)

    def _vectors(self, product: Product, number: int) -> bytes:
        content = vectors.pack(self.content(number))
        models = {"text": "drawn", "image": "drawn"}
        return vectors.encode(
            ProductVectors(product=product, layout=self._layout.id, content=content, hashes={}, models=models)
        )


def draw_product(number: int, price: float = 1.0) -> Product:
    """The product with this number."""
    shelf = number % SHELVES
    return Product(
        product_id=f"p{number:07d}",
        name=f"Product {number} of shelf {shelf}",
        price=price,
        currency="EUR",
        availability="in_stock" if number % 10 else "out_of_stock",
        updated_at=int(now_ms()),
        category=(f"Department {shelf % 20}", f"Shelf {shelf}"),
        brand=f"Brand {number % 1_000}",
        type=f"Type {shelf % 100}",
        image_url=f"https://shop.example/pictures/{number}.webp",
        url=f"https://shop.example/{number}",
    )


def _wait_until_ready(service: RunningService, began: float) -> tuple[float, float, int]:
    """Seconds since it began, CPU seconds, and MB, once it is ready."""
    service.wait_for("/readyz", within_s=READY_WITHIN_S)
    seconds = round(perf_counter() - began, 1)
    process = psutil.Process(service.process.pid)
    return seconds, round(cpu_s(process), 1), round(process.memory_info().rss / MB)


def _ask(service: RunningService, shop: Shop, rate: float, seconds: float) -> Spread:
    """Rows of similar products, one after the other; what is late is counted from when it was due."""
    random, taken = np.random.default_rng(SEED), []
    begin = perf_counter()
    with httpx.Client(base_url=service.url, headers={"Authorization": f"Bearer {KEY}"}, timeout=30) as client:
        for nth in range(int(rate * seconds)):
            due = begin + nth / rate
            while perf_counter() < due:
                sleep(BEHIND_S / 5)
            product_id = f"p{int(random.integers(shop.count)):07d}"
            client.get(f"/v1/products/{product_id}/similar", params={"k": K}).raise_for_status()
            taken.append(perf_counter() - due)
    return Spread.of(np.array(taken))


def _change(shop: Shop, rate: int, stopping: threading.Event) -> None:
    """So many products a second get another price, and with it another vector."""
    random, turn = np.random.default_rng(SEED + 1), 0
    while rate and not stopping.wait(0.1):
        turn += 1
        shop.send(iter(random.integers(shop.count, size=rate // 10).tolist()), price=1.0 + turn % 50)


def _sell_out(service: RunningService, shop: Shop) -> Spread:
    """From when a product that an open page shows is written as sold out, to the row without it."""
    random, taken = np.random.default_rng(SEED + 2), []
    visitor = "who-looks-at-what-sells"
    token = TokenSigner(SecretStr(SECRET), "").issue(visitor).token
    with connect(f"ws://127.0.0.1:{service.port}/v1/live?visitor_id={visitor}", compression=None) as socket:
        for _ in range(SOLD):
            about = f"p{int(random.integers(shop.count)):07d}"
            slot = {"name": "beside", "kind": "similar", "product_id": about, "k": K}
            socket.send(json.dumps({"type": "subscribe", "token": token, "slots": [slot]}))
            sold = _read_shown(socket)[0]
            began = perf_counter()
            shop.send_product(
                msgspec.structs.replace(draw_product(int(sold[1:]), 1.0), availability="out_of_stock")
            )
            while sold in _read_shown(socket):
                pass
            taken.append(perf_counter() - began)
    return Spread.of(np.array(taken))


def _read_shown(socket: ClientConnection) -> list[str]:
    message = json.loads(socket.recv(timeout=WITHIN_S))
    return [item["product_id"] for item in message["items"]]


def main(
    count: Annotated[int, typer.Option("--products", min=1_000, help="how many")] = 100_000,
    rate: Annotated[float, typer.Option(min=1, help="rows of similar products asked for a second")] = 20.0,
    changes: Annotated[int, typer.Option(min=0, help="products that change a second meanwhile")] = 0,
    seconds: Annotated[float, typer.Option(min=1, help="how long rows are asked for")] = 15.0,
) -> None:
    """Prints the figures as JSON."""
    figures: dict[str, Any] = {"products": count, "changes_a_second": changes}
    with broker() as brokers, tempfile.TemporaryDirectory() as folder:
        settings = ServiceSettings(kafka_bootstrap=brokers.bootstrap)
        create(settings)
        shop = Shop(settings, count)
        typer.echo(f"sending {count:,} products …", err=True)
        shop.send(range(count))
        typer.echo("starting the recommender …", err=True)
        began = perf_counter()
        log = Path(folder) / "recommender"
        start = partial(
            run_service,
            "recommender",
            settings,
            log,
            environment={"EDDY_RECOMMENDER_DATADIR": f"{folder}/index"},
            until="/healthz",
            fresh=True,
        )
        with start() as service:
            process = psutil.Process(service.process.pid)
            figures["ready_s"], figures["ready_cpu_s"], figures["mb"] = _wait_until_ready(service, began)
            typer.echo(f"ready after {figures['ready_s']} s; asking …", err=True)
            stopping = threading.Event()
            changing = threading.Thread(target=_change, args=(shop, changes, stopping))
            changing.start()
            _ask(service, shop, rate, min(seconds, 3.0))  # connections, caches
            figures["asked_a_second"] = rate
            figures["similar_ms"] = msgspec.to_builtins(_ask(service, shop, rate, seconds))
            figures["sold_out_ms"] = msgspec.to_builtins(_sell_out(service, shop))
            stopping.set()
            changing.join()
            figures["mb_afterwards"] = round(process.memory_info().rss / MB)
            service.kill()
        typer.echo("starting it again …", err=True)
        began = perf_counter()
        with start() as service:
            again = _wait_until_ready(service, began)
            figures["ready_again_s"], figures["ready_again_cpu_s"], figures["mb_again"] = again
    json.dump(figures, sys.stdout, indent=2)


if __name__ == "__main__":
    typer.run(main)
