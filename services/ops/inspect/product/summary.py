"""From what was read of a product to what is told of it. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np

from schemas import deadletters
from schemas.points import CATEGORY_SEPARATOR, category_prefixes
from schemas.products import Product
from schemas.rules import Rule
from schemas.vectors import ProductVectors, unpack
from services.kafka.messages import EVENT, read_value
from services.kafka.ranges import TopicMessage, headers_of
from services.ops.inspect.product.report import DeadLetter, Difference, Events, RuleOn, Segment, VectorsNow
from services.ops.inspect.product.vectors import layout_of
from services.time_range import TimeRange, format_time
from services.visitors.erasure import Erasures

NO_MATTER: Final = frozenset({"updated_at"})  # tells the state, and is no difference by itself
ESCAPE: Final = b"\\"


@dataclass
class ProductEvents:
    """Counts the events about one product among all that there are.

    Only what holds the id's bytes is decoded; a value with escapes may hold it written otherwise.
    """

    product_id: str
    erasures: Erasures
    scanned: int = 0
    erased: int = 0
    clicks: int = 0
    newest_at: int | None = None
    by_type: Counter[str] = field(default_factory=Counter)
    visitors: set[str] = field(default_factory=set)

    def take(self, messages: Iterable[TopicMessage]) -> None:
        """A batch of the topic."""
        needle = msgspec.json.encode(self.product_id)
        for message in messages:
            self.scanned += 1
            value = message.value()
            if value is not None and (needle in value or ESCAPE in value):
                self._take(message)

    def _take(self, message: TopicMessage) -> None:
        event = read_value(EVENT, message)
        if event is None:
            return  # a dead letter: `ops dlq` tells of those
        if self.product_id not in event.products():
            return
        at = message.timestamp()[1]
        if self.erasures.leave_out(event.visitor_id, event.occurred_at, event.received_at, at):
            self.erased += 1
            return
        self.by_type[event.type] += 1
        self.visitors.add(event.visitor_id)
        self.clicks += event.recommendation_id is not None
        self.newest_at = max(self.newest_at or 0, event.occurred_at)

    def report(self, times: TimeRange) -> Events:
        """The counts."""
        return Events(
            since=times.since,
            until=times.until,
            scanned=self.scanned,
            by_type=dict(self.by_type.most_common()),
            visitors=len(self.visitors),
            clicks_on_rows=self.clicks,
            newest_at=self.newest_at,
            erased=self.erased,
        )


def describe_vectors(vectors: ProductVectors, written_at: int) -> VectorsNow:
    """The segments that the vectors have."""
    layout = layout_of(vectors.layout)
    segments: list[Segment] = []
    if layout is not None and len(vectors.content) == 2 * layout.width:
        content = unpack(vectors.content)
        segments = [
            Segment(
                name=name,
                width=width,
                is_there=bool(np.any(content[layout.slices[name]])),
                model=vectors.models.get(name),
            )
            for name, width in layout.widths
        ]
    return VectorsNow(
        written_at=written_at,
        updated_at=vectors.product.updated_at,
        layout=vectors.layout,
        segments=tuple(segments),
        models=vectors.models,
    )


def differences(now: Product | None, embedded: Product | None) -> tuple[Difference, ...]:
    """Field by field, what the vectors were made from and what the shop says."""
    if now is None or embedded is None:
        return ()
    fields = (name for name in Product.__struct_fields__ if name not in NO_MATTER)
    pairs = ((name, getattr(embedded, name), getattr(now, name)) for name in fields)
    return tuple(Difference(name, before, after) for name, before, after in pairs if before != after)


def state(now: Product | None, gone_at: int | None, vectors: ProductVectors | None, written_at: int) -> str:
    """How the two topics stand to each other, in a sentence; `written_at` is when the product was put."""
    if now is None:
        where = "the shop has no such product" if gone_at is None else f"gone since {format_time(gone_at)}"
        left = "; its vectors are still there: the embedder is behind" if vectors is not None else ""
        return where + left
    if vectors is None:
        return f"waiting to be embedded since {format_time(written_at)}: nothing shows it by content yet"
    if vectors.product.updated_at < now.updated_at:
        return f"waiting to be embedded anew since {format_time(written_at)}: rows compare its former state"
    if vectors.product.updated_at > now.updated_at:
        return "its vectors are of a newer state than the topic products holds: was that topic made anew?"
    return "embedded as it is"


def dead_letter(message: TopicMessage) -> DeadLetter:
    """What its headers say."""
    told = {name: (value or b"").decode("utf-8", "replace") for name, value in headers_of(message)}
    failed_at = told.get(deadletters.FAILED_AT, "")
    return DeadLetter(
        reason=told.get(deadletters.REASON, "it does not say"),
        stage=told.get(deadletters.STAGE, ""),
        service=told.get(deadletters.SERVICE, ""),
        source=told.get(deadletters.SOURCE, ""),
        failed_at=int(failed_at) if re.fullmatch("[0-9]{1,13}", failed_at) else message.timestamp()[1],
    )


def rules_on(rules: Iterable[Rule], product: Product, now_ms: float) -> tuple[RuleOn, ...]:
    """The rules that name the product, sorted by id; those first that hold at `now_ms`."""
    found = []
    for rule in rules:
        by = tuple(_names_in(rule, product))
        if by:
            moves = rule.action in ("boost", "bury")
            found.append(
                RuleOn(
                    rule_id=rule.rule_id,
                    action=rule.action,
                    by=by,
                    slots=rule.slots,
                    holds_now=rule.holds(now_ms),
                    starts_at=rule.starts_at,
                    ends_at=rule.ends_at,
                    factor=rule.factor if moves else None,
                    position=rule.position + rule.products.index(product.product_id)
                    if rule.action == "pin"
                    else None,
                    note=rule.note,
                )
            )
    return tuple(sorted(found, key=lambda rule: (not rule.holds_now, rule.rule_id)))


def _names_in(rule: Rule, product: Product) -> Iterator[str]:
    if product.product_id in rule.products:
        yield "its id"
    if product.brand is not None and product.brand in rule.brands:
        yield f"brand {product.brand}"
    named = {each.rstrip(CATEGORY_SEPARATOR) for each in rule.categories}
    yield from (f"category {each}" for each in category_prefixes(product.category) if each in named)
    yield from (f"tag {each}" for each in product.tags if each in rule.tags)
