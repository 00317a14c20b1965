"""The embedder, while its topics are deleted and made again."""

from pathlib import Path

import pytest

from schemas.topics import PRODUCT_VECTORS, PRODUCTS
from services.settings import ServiceSettings
from tests.support.embedder_service import boot, put, read_vectors, run_embedder
from tests.support.kafka import make_anew
from tests.support.patience import wait_until


@pytest.mark.timeout(300)
def test_an_embedder_makes_the_vectors_of_a_new_topic_from_all_products(
    kafka: ServiceSettings, tmp_path: Path
) -> None:
    put(kafka, boot("a"), boot("b"))
    with run_embedder(kafka, tmp_path / "log"):
        wait_until(lambda: _has_vectors(kafka, "a", "b"))
        make_anew(kafka, PRODUCT_VECTORS)
        wait_until(lambda: _has_vectors(kafka, "a", "b"))
        make_anew(kafka, PRODUCTS)
        put(kafka, boot("c"), boot("d"), boot("e"))
        wait_until(lambda: _has_vectors(kafka, "c", "d", "e"))  # what is gone is gone


def _has_vectors(kafka: ServiceSettings, *expected: str) -> None:
    newest = read_vectors(kafka)
    assert {product_id for product_id, found in newest.items() if found is not None} == set(expected)
