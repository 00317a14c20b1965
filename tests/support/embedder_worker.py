"""The embedder's worker in a thread, on a real broker; stand-in models, so no torch."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic

from services.embedder.catalogue import Catalogue
from services.embedder.embedding import Embedder
from services.embedder.metrics import Metrics
from services.embedder.pictures.fetch import Fetcher, PictureSource
from services.embedder.pictures.prepare import Preparation
from services.embedder.publisher import Publisher
from services.embedder.qdrant_writer import Collection, ServerIndex
from services.embedder.recipe import Recipe
from services.embedder.settings import EmbedderSettings
from services.embedder.worker import Worker
from services.kafka.clients import producer_config
from services.settings import ServiceSettings
from tests.support.embedding import MODELS, DecoderInProcess, StandInPictures, StandInText


class NoDownloads:
    """Fails where a picture is fetched."""

    def fetch(self, url: str) -> bytes:
        raise AssertionError(url)


@contextmanager
def working(
    kafka: ServiceSettings,
    folder: Path,
    collection: Collection | None = None,
    *,
    downloads: Fetcher | None = None,
    picture_retry_s: float = 0.0,
    picture_retries: int = 0,
) -> Iterator[Worker]:
    """A worker in a thread; ended, with all that it has begun, at the end. `folder` holds the pictures."""
    settings = EmbedderSettings(
        kafka_bootstrap=kafka.kafka_bootstrap, topic_prefix=kafka.topic_prefix, text_width=6, image_width=4
    )
    metrics = Metrics()
    pictures = StandInPictures()
    source = PictureSource(downloads or NoDownloads(), folder, 1_000_000)
    preparation = Preparation(
        pictures, source, DecoderInProcess(), fetchers=8, fetchers_a_host=2, decoders=1, metrics=metrics
    )
    embedder = Embedder(StandInText(), pictures, preparation, batch=8, workers=1, metrics=metrics)
    server = None if collection is None else ServerIndex(lambda: collection, metrics)
    worker = Worker(
        settings=settings,
        new_catalogue=partial(
            Catalogue,
            Recipe(settings.layout, MODELS),
            picture_retry_s=picture_retry_s,
            timer=monotonic,
            picture_retries=picture_retries,
        ),
        embedder=embedder,
        publisher=Publisher(producer_config(settings, linger_ms=1, timeout_ms=60_000)),
        server=server,
        metrics=metrics,
    )
    if server is not None:
        server.start()
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join(20)
        if server is not None:
            server.stop(5)
        embedder.close()
    assert not thread.is_alive()
