"""The work of `index check` and `index rebuild`, and what Qdrant says put in a sentence."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from secrets import token_hex
from typing import Final

from qdrant_client import QdrantClient

from schemas.vectors import LayoutMismatch
from services.errors import OperationFailed
from services.kafka.ranges import open_reader
from services.ops.index.query import (
    IndexState,
    Points,
    TopicState,
    VectorChanges,
    index_probe,
    newest_products,
)
from services.ops.index.rebuild import QdrantAlias, Rebuild, RebuildReport
from services.ops.settings import OpsSettings
from services.progress import Progress, Silent
from services.qdrant import CollectionShape, collection_name, connect
from services.qdrant_failures import FAILURES, describe

LOOK_S: Final = 0.5


def rebuild_index(
    found: OpsSettings, progress: Progress, client: QdrantClient | None = None
) -> RebuildReport:
    """The settings' collection built anew. Raises BrokerAway, TopicMissing, LayoutMismatch, Qdrant's own.

    `client`: where it is, other than the settings say.
    """
    place = QdrantAlias(
        client or connect(found), collection_name(found), found.layout, CollectionShape.of(found)
    )
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{token_hex(2)}"
    with open_reader(found) as reader:
        progress.stage("reading products")
        points = Points(found.layout, newest_products(reader))
        changes = VectorChanges(reader, found.layout)
        return Rebuild(place, changes, points.of, progress, keep_s=found.qdrant_keep_s).run(stamp)


def await_agreement(found: OpsSettings, within_s: float, progress: Progress) -> IndexState:
    """The state when it agrees, or at last."""
    look = index_probe(found)
    deadline = time.monotonic() + within_s
    with open_reader(found) as reader:
        topic = TopicState(reader, found.layout)
        topic.read_on(progress)
        progress.stage("looking at the index")
        while not (state := look(topic)).agrees and time.monotonic() < deadline:
            time.sleep(LOOK_S)
            topic.read_on(Silent())
    return state


@contextmanager
def explain_failures() -> Iterator[None]:
    """What Qdrant and the vectors' layout have against it, as OperationFailed."""
    try:
        yield
    except LayoutMismatch as error:
        raise OperationFailed(str(error)) from None
    except FAILURES as error:
        raise OperationFailed(describe(error)) from None
