"""How long a shopper's words take to become vectors, while the embedder idles and while it has work.

`python -m tests.benchmark.words` prints the figures as JSON; the times are what the recommender waits.
"""

import asyncio
import json
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Final

import httpx
import numpy as np
from confluent_kafka import Producer
from msgspec.structs import replace
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.parser import text_string_to_metric_families

from schemas import products
from schemas.topics import PRODUCTS
from services.kafka.admin import create
from services.kafka.clients import producer_config
from services.recommender.search.query_vectors import WordVectorClient
from services.settings import ServiceSettings
from storefront.demo.catalogue.writing import write
from tests.benchmark.brokers import broker
from tests.benchmark.embedding import CATALOGUE, PRODUCTS_N, SEED
from tests.benchmark.spread import Spread
from tests.support.services import RunningService, run_service

SEARCHES: Final = 400
EVERY_S: Final = 0.05  # one shopper's search after the other
COPIES: Final = 30  # of the catalogue, under ids of their own: more than is embedded meanwhile

TEXTS: Final = [
    f"{who} {colour} {what} {rest}"
    for who, colour, what, rest in product(
        ("mens", "womens", "kids", "cheap"),
        ("red striped", "blue", "black dotted", "white", "green floral"),
        ("t-shirt", "boots", "jacket", "lamp", "tent"),
        ("", "for summer", "under $90", "as a present", "that lasts", "in leather", "by Elvada", "on sale"),
    )
]


def measure() -> dict[str, object]:
    """Spread of milliseconds a text: idle, and with products waiting for a model from first to last."""
    write(CATALOGUE, PRODUCTS_N, SEED, lambda: None)
    texts = np.random.default_rng(SEED).permutation(TEXTS).tolist()
    assert len(texts) >= 2 * SEARCHES
    with broker() as brokers, tempfile.TemporaryDirectory() as folder:
        settings = ServiceSettings(kafka_bootstrap=brokers.bootstrap)
        create(settings)
        catalogue = {"EDDY_CATALOGUE_DIR": str(CATALOGUE)}
        with run_service(
            "embedder", settings, Path(folder) / "log", environment=catalogue, fresh=True
        ) as embedder:
            idle = asyncio.run(_search(embedder.url, texts[:SEARCHES]))
            _load(settings)
            embedder.wait_for("/readyz")
            before, started = _count_embedded(embedder), time.monotonic()
            busy = asyncio.run(_search(embedder.url, texts[SEARCHES : 2 * SEARCHES]))
            rate = (_count_embedded(embedder) - before) / (time.monotonic() - started)
            assert _metric(embedder, "eddy_embedder_products_waiting") > 0, "the catalogue was too small"
    return {
        "idle_ms": idle,
        "embedding_ms": busy,
        "products_per_s_meanwhile": round(rate, 1),
    }


async def _search(url: str, texts: list[str]) -> dict[str, float]:
    registry = CollectorRegistry()
    away = Counter("away", "-", registry=registry)
    words = WordVectorClient(
        url,
        ServiceSettings().layout,
        timeout_s=30,
        client=httpx.AsyncClient(trust_env=False),
        away=away,
        seconds=Histogram("seconds", "-", registry=registry),
    )
    seconds = []
    for text in texts:
        started = time.perf_counter()
        assert await words.vectors(text) is not None
        seconds.append(time.perf_counter() - started)
        await asyncio.sleep(EVERY_S)
    await words.close()
    spread = Spread.of(np.array(seconds))
    return {"count": spread.count, "p50": spread.p50, "p90": spread.p90, "p99": spread.p99, "max": spread.max}


def _load(settings: ServiceSettings) -> None:
    made = [products.decode(line) for line in (CATALOGUE / "products.jsonl").read_bytes().splitlines()]
    producer = Producer(producer_config(settings, linger_ms=5, timeout_ms=60_000))
    for copy in range(COPIES):
        for each in made:
            named = replace(each, product_id=f"{copy}-{each.product_id}")
            producer.produce(settings.topic(PRODUCTS), products.encode(named), named.product_id.encode())
        producer.poll(0)
    producer.flush()


def _count_embedded(embedder: RunningService) -> float:
    return _metric(embedder, "eddy_embedder_segments_total", segment="image")


def _metric(embedder: RunningService, name: str, **labels: str) -> float:
    families = text_string_to_metric_families(embedder.metrics())
    samples = [sample for family in families for sample in family.samples]
    return sum(each.value for each in samples if each.name == name and each.labels == labels)


if __name__ == "__main__":
    json.dump(measure(), sys.stdout, indent=2)
