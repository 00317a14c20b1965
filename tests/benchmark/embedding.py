"""The embedder against the bare models: products a second through the whole process, and without it.

`python -m tests.benchmark.embedding` prints the figures as JSON.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from statistics import median
from typing import Final

import httpx
import torch
from confluent_kafka import Consumer, Producer, TopicPartition
from msgspec.structs import replace
from PIL import Image

from infra.stack.broker import ROOT, Broker
from schemas import products
from schemas.products import Product
from schemas.topics import PRODUCT_VECTORS, PRODUCTS
from services.embedder.app import load_models
from services.embedder.models.port import PictureModel, TextModel
from services.embedder.recipe import text_of
from services.embedder.settings import EmbedderSettings
from services.kafka.admin import create
from services.kafka.clients import producer_config
from storefront.demo.catalogue.writing import write
from tests.benchmark.brokers import broker
from tests.support.machine import free_ports
from tests.support.patience import patiently

PRODUCTS_N: Final = 600
SEED: Final = 7
ROUNDS: Final = 5
BATCH: Final = 64
CATALOGUE: Final = ROOT / "build" / "bench" / "catalogue"


def measure() -> dict[str, float]:
    """Products/s of the bare models and of the process, by turns, the median of the rounds."""
    write(CATALOGUE, PRODUCTS_N, SEED, lambda: None)
    lines = (CATALOGUE / "products.jsonl").read_bytes().splitlines()
    catalogue = [products.decode(line) for line in lines]
    text, pictures = load_models(EmbedderSettings())
    torch.set_num_threads(os.cpu_count() or 1)  # torch's own default: one batch on all cores
    bare(text, pictures, catalogue[:BATCH])
    rates: dict[str, list[float]] = {"bare": [], "pipeline": []}
    with broker() as running, embedder(running) as settings:
        passage = Passage(settings)
        passage.take([replace(each, product_id=f"warm-{each.product_id}") for each in catalogue[:BATCH]])
        for number in range(ROUNDS):
            rates["bare"].append(rate(partial(bare, text, pictures, catalogue)))
            named = [replace(each, product_id=f"{number}-{each.product_id}") for each in catalogue]
            rates["pipeline"].append(rate(partial(passage.take, named)))
        passage.close()
    ratios = [ours / theirs for theirs, ours in zip(rates["bare"], rates["pipeline"], strict=True)]
    return {
        "bare_products_per_s": round(median(rates["bare"]), 1),
        "pipeline_products_per_s": round(median(rates["pipeline"]), 1),
        "ratio": round(median(ratios), 3),
        "ratio_least": round(min(ratios), 3),
        "products": float(PRODUCTS_N),
        "threads": float(torch.get_num_threads()),
    }


def rate(work: Callable[[], None]) -> float:
    """Products a second."""
    started = time.perf_counter()
    work()
    return PRODUCTS_N / (time.perf_counter() - started)


def bare(text: TextModel, pictures: PictureModel, catalogue: list[Product]) -> None:
    """What the models need by themselves: one encode of all texts; pictures and captions in batches."""
    text.encode([text_of(product) for product in catalogue])
    for start in range(0, len(catalogue), BATCH):
        part = catalogue[start : start + BATCH]
        opened = [Image.open(CATALOGUE / (product.image_url or "")) for product in part]
        pictures.encode_pictures([pictures.prepare(image) for image in opened])
        pictures.encode_captions([product.name for product in part])


class Passage:
    """Puts products on the topic, and returns when all their vectors are on the other."""

    def __init__(self, settings: EmbedderSettings) -> None:
        self._products = settings.topic(PRODUCTS)
        self._consumer = Consumer({"bootstrap.servers": settings.kafka_bootstrap, "group.id": "unused"})
        topic = settings.topic(PRODUCT_VECTORS)
        self._consumer.assign([TopicPartition(topic, each, 0) for each in range(PRODUCT_VECTORS.partitions)])
        self._producer = Producer(producer_config(settings, linger_ms=1, timeout_ms=10_000))

    def take(self, catalogue: list[Product]) -> None:
        """Each product has an id of its own, never used before."""
        for product in catalogue:
            self._producer.produce(self._products, products.encode(product), product.product_id.encode())
        self._producer.flush()
        missing = {product.product_id.encode() for product in catalogue}
        while missing:
            missing -= {message.key() for message in self._consumer.consume(1, timeout=60)}

    def close(self) -> None:
        """Closes the connection."""
        self._consumer.close()


@contextmanager
def embedder(broker: Broker) -> Iterator[EmbedderSettings]:
    """The real process, ready."""
    settings = EmbedderSettings(kafka_bootstrap=broker.bootstrap)
    create(settings)
    [port] = free_ports(1)
    environment = os.environ | {
        "EDDY_KAFKA_BOOTSTRAP": broker.bootstrap,
        "EDDY_EMBEDDER_PORT": str(port),
        "EDDY_CATALOGUE_DIR": str(CATALOGUE),
        "PYTHONPATH": str(ROOT),
    }
    process = subprocess.Popen([sys.executable, "-m", "services.embedder"], env=environment)
    try:
        _ready(f"http://127.0.0.1:{port}/readyz")
        yield settings
    finally:
        process.terminate()
        process.wait(timeout=10)


@patiently(120, 0.2)
def _ready(url: str) -> None:
    httpx.get(url).raise_for_status()


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
