"""The embedder as a process, the products that it is given and the vectors that it publishes."""

import io
import os
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import httpx
from confluent_kafka import Consumer, Producer, TopicPartition
from PIL import Image, ImageDraw
from prometheus_client.parser import text_string_to_metric_families

from schemas import products, vectors
from schemas.products import Product
from schemas.topics import PRODUCT_VECTORS, PRODUCTS, PRODUCTS_DLQ
from schemas.vectors import ProductVectors
from services.settings import ServiceSettings
from tests.support.kafka import quick_config, read_topic
from tests.support.launcher import ModuleProcess, start_fresh, start_module
from tests.support.machine import free_ports
from tests.support.patience import patiently, wait_until
from tests.support.services import without_tenant

LAYOUT = ServiceSettings().layout


NOW = 1_767_225_600_000


START_S = 120  # torch and its friends take 10 s to import, and several times that on a busy machine


class EmbedderService:
    """A running `python -m services.embedder`, with what it logged."""

    def __init__(self, process: "ModuleProcess | subprocess.Popen[bytes]", url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self.log = log
        self._http = httpx.Client(base_url=url, verify=False)  # a new one each time reads the certificates

    @patiently(START_S, despite=httpx.HTTPError)
    def wait_until_ready(self) -> None:
        assert self.process.poll() is None, self.log.read_text()
        self._http.get("/readyz").raise_for_status()

    def close(self) -> None:
        """Lets go of the connection."""
        self._http.close()

    def metric(self, name: str, **labels: str) -> float:
        """A counter's value; 0 where it has not been counted."""
        families = text_string_to_metric_families(without_tenant(self._http.get("/metrics").text))
        found = [
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == name and sample.labels == labels
        ]
        return sum(found)

    def count_made(self) -> dict[str, float]:
        """How many segments each model has made."""
        return {
            name: self.metric("eddy_embedder_segments_total", segment=name)
            for name in ("text", "image", "caption")
        }


@contextmanager
def run_embedder(
    settings: ServiceSettings, log: Path, *, tree: Path | None = None, **more: str
) -> Iterator[EmbedderService]:
    """An embedder on these brokers and topics; killed at the end where it still runs.

    `tree`: the code is another release's, which lies there.
    """
    [port] = free_ports(1)
    environment = os.environ | {
        "EDDY_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "EDDY_TOPIC_PREFIX": settings.topic_prefix,
        "EDDY_EMBEDDER_PORT": str(port),
        "EDDY_EMBEDDER_INSTANCE": "the one",
        "EDDY_PICTURE_RETRY_S": "0",
        "EDDY_SESSION_TIMEOUT_S": "3",  # how long one that was stopped stays in its group
        **more,
    }
    with log.open("ab") as output:
        start = partial(start_fresh, tree=tree) if tree else start_module
        process = start("services.embedder", environment=environment, stdout=output, stderr=output)
    embedder = EmbedderService(process, f"http://127.0.0.1:{port}", log)
    try:
        embedder.wait_until_ready()
        yield embedder
    finally:
        embedder.close()
        process.kill()
        process.wait()


def picture(colour: str = "red", kind: str = "PNG") -> bytes:
    image = Image.new("RGB", (96, 96), "white")
    ImageDraw.Draw(image).ellipse((16, 16, 80, 80), fill=colour)
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def inline(raw: bytes) -> str:
    return "data:image/png;base64," + b64encode(raw).decode()


def boot(product_id: str, **fields: Any) -> Product:
    return Product(
        **{
            "product_id": product_id,
            "name": f"Boot {product_id} of red leather",
            "description": "Waterproof, for long walks.",
            "brand": "Elvada",
            "category": ("Women", "Shoes", "Boots"),
            "type": "boots",
            "price": 89.5,
            "currency": "EUR",
            "availability": "in_stock",
            "popularity": 0.4,
            "updated_at": NOW,
            **fields,
        }
    )


Sent = tuple[str, bytes | None]


def put(settings: ServiceSettings, *sent: Product | Sent) -> None:
    """Puts products, tombstones and raw messages on `products`."""
    producer = Producer(quick_config(settings, linger_ms=1))
    for each in sent:
        key, value = (each.product_id, products.encode(each)) if isinstance(each, Product) else each
        producer.produce(settings.topic(PRODUCTS), value, key.encode())
    assert producer.flush(10) == 0


def read_vectors(settings: ServiceSettings) -> dict[str, ProductVectors | None]:
    """The newest message about each product."""
    return {
        (message.key() or b"").decode(): vectors.decode(value) if (value := message.value()) else None
        for message in read_topic(settings, PRODUCT_VECTORS)
    }


def wait_for(settings: ServiceSettings, *wanted: Product) -> dict[str, ProductVectors]:
    """Waits until each of these very products is the newest of its id, with the segments of all models."""
    found: dict[str, ProductVectors] = {}

    def there() -> None:
        found.update({key: each for key, each in read_vectors(settings).items() if each is not None})
        assert {each.product_id: found[each.product_id].product for each in wanted} == {
            each.product_id: each for each in wanted
        }
        assert all("text" in found[each.product_id].hashes for each in wanted)

    wait_until(there)
    return found


def read_dead_letters(settings: ServiceSettings) -> list[tuple[bytes, bytes, dict[str, str]]]:
    """The dead letters: key, value, headers."""
    return [
        (
            message.key() or b"",
            message.value() or b"",
            {name: value.decode() for name, value in cast("list[tuple[str, bytes]]", message.headers())},
        )
        for message in read_topic(settings, PRODUCTS_DLQ)
    ]


def count_committed(settings: ServiceSettings) -> int:
    """Messages of `products` that will not be read again."""
    consumer = Consumer(
        {"bootstrap.servers": settings.kafka_bootstrap, "group.id": settings.topic_prefix + "embedder"}
    )
    name = settings.topic(PRODUCTS)
    places = consumer.committed([TopicPartition(name, each) for each in range(PRODUCTS.partitions)], 10)
    consumer.close()
    return sum(max(place.offset, 0) for place in places)


def wait_until_committed(settings: ServiceSettings) -> None:
    def check() -> None:
        assert count_committed(settings) == len(read_topic(settings, PRODUCTS))

    wait_until(check)
