"""A shopper's words through a real embedder process: over HTTP into the spaces of texts and of pictures."""

import asyncio
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import pytest
from confluent_kafka import Producer
from msgspec.structs import replace
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.parser import text_string_to_metric_families

from infra.stack.broker import Broker
from schemas import products, vectors
from schemas.products import Product
from schemas.topics import PRODUCT_VECTORS, PRODUCTS
from schemas.vectors import Layout, Matrix, unpack
from schemas.words import PATH, decode_answer, encode_request
from services.recommender.search.query_vectors import WordVector, WordVectorClient, query_vector
from services.settings import ServiceSettings
from storefront.demo.catalogue.drawing import Look, draw
from storefront.demo.catalogue.generator import caption
from tests.support.kafka import create_topics, quick_config, read_topic
from tests.support.patience import patiently
from tests.support.services import RunningService, run_service

LAYOUT = ServiceSettings().layout
START_S = 120  # torch and its friends take 10 s to import, and several times that on a busy machine
EACH = 3  # pictures of a look

LOOKS = [
    Look("t-shirt", "red", "striped"),
    Look("t-shirt", "blue", "plain"),
    Look("boots", "brown", "plain"),
    Look("dress", "pink", "floral"),
    Look("jacket", "black", "plain"),
    Look("umbrella", "yellow", "dotted"),
    Look("mug", "white", "plain"),
    Look("tent", "green", "plain"),
    Look("trousers", "navy", "pinstriped"),
    Look("rug", "purple", "zigzag"),
    Look("backpack", "orange", "plain"),
    Look("scarf", "teal", "checked"),
]

pytestmark = pytest.mark.timeout(300)


class Shop(NamedTuple):
    """A running embedder, what it answered before its models were there, and its topics."""

    embedder: RunningService
    early: httpx.Response
    settings: ServiceSettings


@pytest.fixture(scope="module")
def shop(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    settings = create_topics(broker)
    folder = tmp_path_factory.mktemp("words")
    _draw_all(folder)
    catalogue = {"EDDY_CATALOGUE_DIR": str(folder)}
    with run_service(
        "embedder", settings, folder / "log", environment=catalogue, until="/healthz"
    ) as embedder:
        early = embedder.http.post(PATH, content=encode_request(["red shoes"]))
        embedder.wait_for("/readyz", START_S)
        yield Shop(embedder, early, settings)


def _draw_all(folder: Path) -> None:
    (folder / "pictures").mkdir()
    for number, look in enumerate(LOOKS):
        for copy in range(EACH):
            picture = draw(look, 160, random.Random(f"{number}:{copy}"))
            picture.save(folder / "pictures" / f"{number}-{copy}.png")


def article(product_id: str, **fields: str) -> Product:
    """A product that says nothing of itself."""
    return replace(
        Product(
            product_id=product_id,
            name="Article",
            price=20.0,
            currency="EUR",
            availability="in_stock",
            updated_at=1_767_225_600_000,
        ),
        **fields,
    )


def put(settings: ServiceSettings, made: Sequence[Product]) -> None:
    producer = Producer(quick_config(settings, linger_ms=1))
    for each in made:
        producer.produce(settings.topic(PRODUCTS), products.encode(each), each.product_id.encode())
    assert producer.flush(10) == 0


def embed(settings: ServiceSettings, made: Sequence[Product]) -> Matrix:
    """(products, width) their vectors, once the embedder has published them all."""
    put(settings, made)

    @patiently(60)
    def read_published() -> Matrix:
        found = {
            (message.key() or b"").decode(): vectors.decode(message.value() or b"").content
            for message in read_topic(settings, PRODUCT_VECTORS)
        }
        return np.stack([unpack(found[each.product_id]) for each in made])

    return read_published()


def ask(shop: Shop, texts: Sequence[str], layout: Layout = LAYOUT) -> list[WordVector | None]:
    """As the recommender asks, one text after the other."""

    async def asking() -> list[WordVector | None]:
        registry = CollectorRegistry()
        words = WordVectorClient(
            shop.embedder.url,
            layout,
            timeout_s=30,
            client=httpx.AsyncClient(trust_env=False),
            away=Counter("away", "-", registry=registry),
            seconds=Histogram("seconds", "-", registry=registry),
        )
        found = [await words.vectors(text) for text in texts]
        await words.close()
        return found

    return asyncio.run(asking())


def queries(shop: Shop, texts: Sequence[str], **weights: float) -> Matrix:
    """(texts, width) weighted queries."""
    found = [query_vector(LAYOUT, each) for each in ask(shop, texts) if each is not None]
    assert len(found) == len(texts)
    return LAYOUT.apply_weights(np.stack(found), weights)


def metric(shop: Shop, name: str) -> float:
    families = text_string_to_metric_families(shop.embedder.metrics())
    return sum(each.value for family in families for each in family.samples if each.name == name)


def test_before_the_models_are_loaded_it_says_when_to_come_again(shop: Shop) -> None:
    assert shop.early.status_code == 503
    assert int(shop.early.headers["Retry-After"]) >= 1
    assert "models" in shop.early.json()["detail"]


def test_words_come_in_the_layouts_widths_and_of_unit_length(shop: Shop) -> None:
    before = metric(shop, "eddy_embedder_words_total")
    texts = ["red striped t-shirt", "ein roter Schal", "👟", "x" * 200]
    answer = shop.embedder.http.post(PATH, content=encode_request(texts)).raise_for_status()
    found = decode_answer(answer.content)
    assert found.layout == LAYOUT.id
    assert set(found.models) == {"text", "caption"}
    for name, made in (("text", found.text), ("caption", found.caption)):
        rows = np.stack([unpack(raw) for raw in made])
        span = LAYOUT.slices[name]
        assert rows.shape == (len(texts), span.stop - span.start)
        assert np.linalg.norm(rows, axis=1) == pytest.approx(1.0, abs=2e-3)
    assert metric(shop, "eddy_embedder_words_total") == before + len(texts)


def test_words_reach_the_pictures_that_show_them(shop: Shop) -> None:
    pictured = [
        article(f"look-{number}-{copy}", image_url=f"pictures/{number}-{copy}.png")
        for number in range(len(LOOKS))
        for copy in range(EACH)
    ]
    content = embed(shop.settings, pictured)
    asked = queries(shop, [caption(look) for look in LOOKS], image=1.0)
    # (words, looks): the mean over the pictures of a look. Nothing but the pictures tells them apart.
    scores = (asked @ content.T).reshape(len(LOOKS), len(LOOKS), EACH).mean(axis=2)
    own = np.diag(scores)
    others = (scores.sum(axis=1) - own) / (len(LOOKS) - 1)
    assert own[0] > others[0] + 0.4  # red striped t-shirt
    assert (own - others).mean() > 0.4
    assert (scores.argmax(axis=1) == np.arange(len(LOOKS))).mean() > 0.8


def test_words_reach_what_products_say_of_themselves(shop: Shop) -> None:
    said = {
        "rain": "Keeps you dry in the heaviest downpour.",
        "coffee": "For espresso and cappuccino at the kitchen table.",
        "sleep": "Soft pillows for a quiet night.",
    }
    content = embed(shop.settings, [article(f"says-{key}", description=each) for key, each in said.items()])
    asked = queries(shop, ["waterproof", "coffee cup", "bedding"], text=1.0)
    assert (asked @ content.T).argmax(axis=1).tolist() == [0, 1, 2]


def test_words_do_not_wait_for_products(shop: Shop) -> None:
    put(shop.settings, [article(f"many-{n}", description=f"Number {n}. " * 60) for n in range(900)])

    @patiently(30, 0.01)
    def busy() -> None:
        assert metric(shop, "eddy_embedder_products_waiting") > 300

    busy()
    assert None not in ask(shop, [f"shoes of size {size}" for size in range(10)])
    assert metric(shop, "eddy_embedder_products_waiting") > 0


def test_a_recommender_of_other_widths_uses_no_words(shop: Shop) -> None:
    assert ask(shop, ["red shoes"], Layout.of(384, 512)) == [None]
