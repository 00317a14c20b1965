"""Vectors that stand in for the embedder's: products of one category, brand or type are near each other."""

import asyncio
import subprocess
import sys
from pathlib import Path
from zlib import crc32

import numpy as np

from infra.stack.broker import ROOT
from schemas import products, vectors
from schemas.products import Product
from schemas.topics import PRODUCT_VECTORS, PRODUCTS, Topic
from schemas.vectors import Layout, ProductVectors, Vector
from services.kafka.clients import AcknowledgedProducer, producer_config
from services.settings import ServiceSettings


def publish(settings: ServiceSettings, catalogue: Path) -> None:
    """The demo catalogue to `products`, and its vectors to `product-vectors`."""
    command = [sys.executable, "-m", "storefront.demo.catalogue", "--out", str(catalogue)]
    subprocess.run([*command, "--products", "2400"], cwd=ROOT, check=True, capture_output=True)
    found = [products.decode(line) for line in (catalogue / "products.jsonl").read_bytes().splitlines()]
    asyncio.run(_send(settings, PRODUCTS, {each.product_id: products.encode(each) for each in found}))
    made = {each.product_id: vectors.encode(_vectors(each, settings.layout)) for each in found}
    asyncio.run(_send(settings, PRODUCT_VECTORS, made))


async def _send(settings: ServiceSettings, topic: Topic, values: dict[str, bytes]) -> None:
    producer = AcknowledgedProducer(producer_config(settings, linger_ms=5, timeout_ms=30_000))
    await producer.send_all(
        settings.topic(topic), [(key.encode(), value, []) for key, value in values.items()]
    )
    await asyncio.to_thread(producer.close)


def _vectors(product: Product, layout: Layout) -> ProductVectors:
    return ProductVectors(
        product=product,
        layout=layout.id,
        content=vectors.pack(content_of(product, layout)),
        hashes={},
        models={"text": "stand-in", "image": "stand-in"},
    )


def content_of(product: Product, layout: Layout) -> Vector:
    """(width,) the same for the same product."""
    shelf = "/".join(product.category)
    seeds = {
        "category": shelf,
        "brand": product.brand or "",
        "type": product.type or "",
    }
    parts = [
        _draw(seeds[name], width)
        if name in seeds
        else _draw(shelf, width) + 0.7 * _draw(product.product_id, width)
        for name, width in layout.widths
    ]
    return layout.normalise(np.concatenate(parts)).astype(np.float32)


def _draw(seed: str, width: int) -> np.ndarray:
    return np.random.default_rng(crc32(seed.encode())).normal(size=width)
