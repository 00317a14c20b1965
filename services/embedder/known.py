"""What lies on `product-vectors` already, read whole into the catalogue before any product is taken."""

import threading
from collections.abc import Collection
from typing import Final

from confluent_kafka import Message

from schemas.topics import PRODUCT_VECTORS
from services.embedder.catalogue import Catalogue
from services.embedder.settings import EmbedderSettings
from services.kafka import TopicReader, client_config

LOOK_S: Final = 0.2  # how soon a stopping worker notices


def read_known(
    settings: EmbedderSettings, catalogue: Catalogue, partitions: Collection[int], stopping: threading.Event
) -> set[str]:
    """Reads the topic to its end; answers the ids of the products in these partitions.

    Blocks until then, or until `stopping`. Raises LayoutMismatch and TopicMissing.
    """
    ids: set[str] = set()

    def know(messages: list[Message]) -> None:
        for message in messages:
            product_id = (message.key() or b"").decode()
            catalogue.know(product_id, message.value())
            if message.partition() in partitions:
                (ids.discard if message.value() is None else ids.add)(product_id)

    topic = settings.topic(PRODUCT_VECTORS)
    reader = TopicReader(client_config(settings), [topic], know, lambda _error: None)
    reader.start()
    try:
        while not reader.wait_until_caught_up(LOOK_S) and not stopping.is_set():
            pass
    finally:
        reader.stop()
    return ids
