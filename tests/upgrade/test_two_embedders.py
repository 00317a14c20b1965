"""The embedder of the release before and this one's in one group: products get vectors, each once.

Both have the models of the demo, so what one has made the other need not make again.
"""

import signal
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Final

import httpx
import numpy as np
import pytest
from msgspec.structs import replace

from infra.stack.broker import Broker
from schemas.products import Product
from schemas.topics import PRODUCTS_DLQ
from schemas.vectors import ProductVectors, unpack
from schemas.words import PATH, decode_answer
from tests.support.embedder_service import (
    NOW,
    EmbedderService,
    boot,
    inline,
    picture,
    put,
    run_embedder,
    wait_for,
    wait_until_committed,
)
from tests.support.kafka import create_topics, read_topic
from tests.support.patience import patiently

pytestmark = pytest.mark.timeout(600)
OLD, NEW = "old", "new"
WORDS: Final = ["red boots for long walks", "something warm"]
EQUAL: Final = pytest.approx(1.0, abs=1e-3)  # the cosine; how a batch is filled up moves the last digits


def some(name: str, count: int = 12) -> list[Product]:
    """Products of all partitions that differ in nothing but their id."""
    return [boot(f"{name}-{number}", name="Boot", image_url=inline(picture())) for number in range(count)]


def cheaper(products: list[Product], later_ms: int) -> list[Product]:
    """The same with another price: no model need look at them."""
    return [replace(each, price=9.5, updated_at=NOW + later_ms) for each in products]


def likeness(one: ProductVectors, other: ProductVectors) -> float:
    left, right = unpack(one.content), unpack(other.content)
    return float(left @ right / np.linalg.norm(left) / np.linalg.norm(right))


def vectors_of_words(embedder: EmbedderService) -> list[np.ndarray]:
    """Of the text model and of the pictures' model, as a recommender of this release reads the answer."""
    answer = httpx.post(f"{embedder.url}{PATH}", json={"texts": WORDS}, timeout=30)
    assert answer.status_code == 200, answer.text
    told = decode_answer(answer.content)
    return [unpack(each) for each in [*told.text, *told.caption]]


@pytest.mark.parametrize(("before", "after"), [(OLD, NEW), (NEW, OLD)], ids=["forward", "back"])
def test_products_get_their_vectors_from_both_releases_and_none_twice(
    broker: Broker, old_tree: Path, tmp_path: Path, before: str, after: str
) -> None:
    settings = create_topics(broker)

    def run(release: str, place: str) -> AbstractContextManager[EmbedderService]:
        tree = old_tree if release == OLD else None
        return run_embedder(settings, tmp_path / place, tree=tree, EDDY_EMBEDDER_INSTANCE=place)

    with ExitStack() as running:
        former = running.enter_context(run(before, "a"))
        first = some("first")
        put(settings, *first)
        found = wait_for(settings, *first)
        wait_until_committed(settings)

        later = running.enter_context(run(after, "b"))
        beside: list[Product] = []

        @patiently(60, 1)
        def check_both_work() -> None:
            beside.extend(some(f"beside-{len(beside)}"))
            put(settings, *beside[-12:])
            wait_for(settings, *beside[-12:])
            assert all(each.count_made()["text"] for each in (former, later))

        check_both_work()
        of_both = wait_for(settings, *beside)
        for each in beside:
            made, like = of_both[each.product_id], found["first-0"]
            assert likeness(made, like) == EQUAL
            assert (made.layout, made.hashes, made.models) == (like.layout, like.hashes, like.models)
        for one, other in zip(*map(vectors_of_words, (former, later)), strict=True):
            assert float(one @ other) == EQUAL
        wait_until_committed(settings)

        stop(former)
        last = some("last")
        put(settings, *last)
        wait_for(settings, *last)
        of_models = later.count_made()
        changed = cheaper([*first, *beside], 1)
        put(settings, *changed)
        wait_for(settings, *changed)
        assert later.count_made() == of_models, "what the other release had made was made anew"
        wait_until_committed(settings)
        assert read_topic(settings, PRODUCTS_DLQ) == []


def stop(embedder: EmbedderService) -> None:
    """As an orchestrator does: SIGTERM, and it ends by itself and well."""
    embedder.process.send_signal(signal.SIGTERM)
    assert embedder.process.wait(30) in {0, -signal.SIGTERM}, embedder.log.read_text()[-2000:]
