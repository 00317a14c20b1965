"""REES46's open file: its sessions, and content vectors for its products, made without any model."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.events import Event
from schemas.products import Product
from schemas.times import EARLIEST_MS
from schemas.vectors import Layout
from services.archive.history_events import HistoryEvent
from services.embedder.recipe import Recipe
from services.model.session import TYPE_WEIGHTS
from services.ops.catalogue import mappings
from services.ops.catalogue.file_formats import Feed
from services.ops.catalogue.mappings import BadRow, Defaults
from services.trainer.cases import Case, case_at
from services.trainer.content import Contents
from services.trainer.sessions import Histories, compact, sessionise
from services.trainer.topic_history import GrowingColumns
from services.trainer.training import Parameters
from services.vector_replica import VectorReplica

SHARE: Final = 0.2  # of the sessions, the newest, are held out
# One thread learns the same model each time: models that are compared differ by nothing else.
PARAMETERS: Final = Parameters(threads=1)
LAYOUT: Final = Layout.of(text_width=1, image_width=1)  # models would fill these: they stay zero


@dataclass(frozen=True, slots=True)
class Held:
    """Cases (n,), and the number of the session that each is from."""

    cases: list[Case]
    sessions: npt.NDArray[np.int64]


def read(path: Path) -> Histories:
    """The file's sessions, whose events are views, carts and purchases."""
    columns, feed = GrowingColumns(TYPE_WEIGHTS), Feed(path)
    columns.extend(_past(event) for event in mappings.events(feed, mappings.detect(feed)))
    return sessionise(columns.columns())


def _past(event: Event | BadRow) -> HistoryEvent:
    if isinstance(event, BadRow):
        raise ValueError(f"row {event.number}: {event.reason}")
    return HistoryEvent(
        event_id=event.event_id,
        type=event.type,
        visitor_id=event.visitor_id,
        occurred_at=event.occurred_at,
        product_id=event.product_id,
    )


def contents(path: Path) -> Contents:
    """All products of the file by category, brand, type and price, as the embedder writes them."""
    recipe, replica = Recipe(LAYOUT, {}), VectorReplica(LAYOUT)
    for product in _products(path):
        segments = recipe.without_model(product, recipe.hashes(product), {})
        content = recipe.assemble(product, segments).content
        replica.put(product, np.frombuffer(content, dtype="<f2"))
    return Contents(replica, LAYOUT)


def _products(path: Path) -> Iterator[Product]:
    feed = Feed(path)
    for product in mappings.products(feed, mappings.detect(feed), Defaults("USD", EARLIEST_MS)):
        if isinstance(product, BadRow):
            raise ValueError(f"row {product.number}: {product.reason}")
        yield product


def split(histories: Histories) -> tuple[Histories, Histories]:
    """What to learn from, and the newest fifth of the sessions."""
    first = int(histories.sessions * (1 - SHARE))
    return histories.part(0, first), histories.part(first, histories.sessions)


def cases(held: Histories, targets: frozenset[str], without: frozenset[str] = frozenset()) -> Held:
    """Each event about a product of `targets` but a session's first, where nothing before is in `without`."""
    found: list[Case] = []
    sessions: list[int] = []
    for number in range(held.sessions):
        begin, products = int(held.starts[number]), held.session(number)
        for length in range(1, len(products)):
            if products[length - 1] in without:
                break
            if products[length] in targets:
                found.append(case_at(held, begin, begin + length))
                sessions.append(number)
    return Held(found, np.array(sessions, np.int64))


def hide(histories: Histories, products: frozenset[str]) -> Histories:
    """The histories as if nobody had ever seen these products."""
    is_hidden = np.array([product in products for product in histories.products], np.bool_)
    kept = ~is_hidden[histories.items]
    session_of = np.repeat(np.arange(histories.sessions), np.diff(histories.starts))[kept]
    lengths = np.bincount(session_of, minlength=histories.sessions)
    starts = np.concatenate([[0], np.cumsum(lengths[lengths > 0])]).astype(np.int64)
    return compact(
        histories.products, histories.items[kept], histories.times[kept], histories.types[kept], starts
    )
