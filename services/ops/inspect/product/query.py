"""Reads all that there is of one product: off the topics, and from a recommender where one answers."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec
from rapidfuzz import fuzz, process

from schemas.products import Product
from schemas.rules import Rule
from schemas.topics import EVENTS, PRODUCT_VECTORS, PRODUCTS, PRODUCTS_DLQ
from schemas.unreadable import Unreadable
from schemas.vectors import ProductVectors
from services.clock import now_ms
from services.errors import CheckFailed, UsageError
from services.kafka import ranges
from services.kafka.messages import PRODUCT, PRODUCT_VECTOR, RULE, decode, newest_of_topic
from services.kafka.ranges import HistoryReader, RangeReader, TopicMessage, open_reader
from services.ops.inspect.product import summary, vectors
from services.ops.inspect.product.report import Events, InRecommender, Nearest, Report, RuleOn, SimilarItem
from services.ops.inspect.product.summary import ProductEvents
from services.ops.inspect.product.vectors import layout_of
from services.ops.services import Recommender, Unanswered
from services.ops.settings import OpsSettings
from services.progress import Progress, track
from services.time_range import TimeRange
from services.visitors import erasure


def products_by_id(
    reader: HistoryReader, product_ids: Collection[str], progress: Progress, *, everywhere: bool = False
) -> dict[str, Product]:
    """Those of the products that the shop has now. Raises BrokerAway, TopicMissing."""
    keys = {product_id.encode() for product_id in product_ids}
    found = defaultdict[str, _ProductState](_ProductState)
    for message in ranges.of_keys(reader, PRODUCTS, keys, progress=progress, everywhere=everywhere):
        product_id = (message.key() or b"").decode("utf-8", "replace")
        found[product_id].take(message)
    return {each: state.product for each, state in found.items() if state.product is not None}


ID_BYTES_MAX: Final = 128 * 4
SUGGESTED: Final = 5
SUGGESTED_SCORE: Final = 60  # of 100: below, two ids have little in common
NEAREST: Final = 5


@dataclass(frozen=True, slots=True)
class ProductQuery:
    """What is asked for; `times` is None where events are not to be looked through."""

    product_id: str
    times: TimeRange | None
    everywhere: bool = False


@dataclass(slots=True)
class _ProductState:
    """The product on its topic: its newest state, or when it went, or why it cannot be read."""

    product: Product | None = None
    written_at: int | None = None
    gone_at: int | None = None
    unreadable: str | None = None

    def take(self, message: TopicMessage) -> None:
        at, read = message.timestamp()[1], decode(PRODUCT, message)
        if isinstance(read, Unreadable):
            self.unreadable = f"a message under its key cannot be read ({read}): see products.dlq"
        elif (product := read.value) is None:
            self.product, self.written_at, self.gone_at = None, None, at
        elif self.product is None or self.product.updated_at <= product.updated_at:
            self.product, self.written_at, self.gone_at = product, at, None


def look_up(settings: OpsSettings, wanted: ProductQuery, progress: Progress) -> Report:
    """Everything. Raises CheckFailed for an unknown product, BrokerAway and TopicMissing."""
    if not wanted.product_id or len(wanted.product_id.encode()) > ID_BYTES_MAX:
        raise UsageError("a product's id has 1 to 128 characters")
    unasked: list[str] = []
    found = _ProductState()
    with open_reader(settings) as reader:
        messages_on = partial(
            ranges.of_keys, reader, keys=[wanted.product_id.encode()], everywhere=wanted.everywhere
        )
        for message in messages_on(PRODUCTS):
            found.take(message)
        made, written_at = _newest_vectors(messages_on(PRODUCT_VECTORS), unasked)
        letters = sorted(
            map(summary.dead_letter, messages_on(PRODUCTS_DLQ)), key=lambda each: -each.failed_at
        )
        if found == _ProductState() and made is None and not letters:
            raise CheckFailed(_unknown(reader, wanted.product_id, progress))
        known = found.product or (made.product if made else None)
        on_it = _rules(reader, known, unasked) if known else ()
        near = _nearest(reader, made, progress, unasked)
        done = _events(reader, wanted, progress)
    return Report(
        product_id=wanted.product_id,
        product=found.product,
        written_at=found.written_at,
        gone_at=found.gone_at,
        unreadable=found.unreadable,
        vectors=summary.describe_vectors(made, written_at) if made else None,
        state=summary.state(found.product, found.gone_at, made, found.written_at or 0),
        differences=summary.differences(found.product, made.product if made else None),
        dead_letters=tuple(letters),
        rules=on_it,
        nearest=near,
        recommender=_ask_recommender(settings, wanted.product_id, unasked),
        events=done,
        unasked=tuple(unasked),
    )


def _newest_vectors(
    messages: Iterable[TopicMessage], unasked: list[str]
) -> tuple[ProductVectors | None, int]:
    """The newest state's vectors, and when they were written."""
    newest: ProductVectors | None = None
    written_at = 0
    for message in messages:
        read = decode(PRODUCT_VECTOR, message)
        if isinstance(read, Unreadable):
            unasked.append(f"a message with its vectors cannot be read: {read}")
            continue
        found = read.value
        if found is None:
            newest = None
        elif newest is None or newest.product.updated_at <= found.product.updated_at:
            newest, written_at = found, message.timestamp()[1]
    return newest, written_at


def _unknown(reader: RangeReader, product_id: str, progress: Progress) -> str:
    """A sentence, with the ids that are most like the one that is unknown."""
    there: set[str] = set()
    spans = reader.spans(PRODUCTS)
    stage = f"looking through {PRODUCTS.name}"
    for message in track(reader.read(spans), progress, stage, sum(map(len, spans))):
        key = (message.key() or b"").decode("utf-8", "replace")
        if message.value() is None:
            there.discard(key)
        else:
            there.add(key)
    if not there:
        return f"there is no product {product_id!r}: there are none at all on {PRODUCTS.name}"
    found = process.extract(
        product_id, sorted(there), scorer=fuzz.WRatio, limit=SUGGESTED, score_cutoff=SUGGESTED_SCORE
    )
    nearest = ", ".join(match for match, _score, _index in found) or "none is like it"
    return f"there is no product {product_id!r} among {len(there):,}; nearest ids: {nearest}"


def _rules(reader: RangeReader, product: Product, unasked: list[str]) -> tuple[RuleOn, ...]:
    rules: list[Rule] = []
    for rule_id, rule in newest_of_topic(reader, RULE).items():
        if isinstance(rule, Unreadable):
            unasked.append(f"the rule {rule_id} cannot be read: {rule}")
        else:
            rules.append(rule)
    return summary.rules_on(rules, product, now_ms())


def _nearest(
    reader: RangeReader, made: ProductVectors | None, progress: Progress, unasked: list[str]
) -> tuple[Nearest, ...]:
    if made is None:
        return ()
    layout = layout_of(made.layout)
    if layout is None:
        unasked.append(f"its vectors have a layout that is not known here: {made.layout}")
        return ()
    all_of_them = vectors.read(reader, layout, progress)
    if all_of_them.foreign:
        unasked.append(
            f"{all_of_them.foreign:,} messages on {PRODUCT_VECTORS.name} have another layout: not compared"
        )
    return vectors.nearest(all_of_them, made.product.product_id, NEAREST)


def _events(reader: RangeReader, wanted: ProductQuery, progress: Progress) -> Events | None:
    if wanted.times is None:
        return None
    found = ProductEvents(wanted.product_id, erasure.read(reader))
    spans = reader.spans(EVENTS, wanted.times)
    stage = f"looking through {EVENTS.name}"
    found.take(track(reader.read(spans), progress, stage, sum(map(len, spans))))
    return found.report(wanted.times)


def _ask_recommender(settings: OpsSettings, product_id: str, unasked: list[str]) -> InRecommender | None:
    try:
        with Recommender(settings) as recommender:
            product = recommender.product(product_id)
            row = recommender.similar(product_id, NEAREST) if product else None
    except Unanswered as error:
        unasked.append(str(error))
        return None
    return InRecommender(
        has_it=product is not None,
        availability=product["availability"] if product else None,
        similar=msgspec.convert(row["items"] if row else (), tuple[SimilarItem, ...]),
        fallback=row.get("fallback") if row else None,
        models=row["models"] if row else {},
    )
