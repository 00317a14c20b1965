"""All that is told of a product, for machines; times are Unix ms."""

import msgspec

from schemas.products import Product


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One product. `unasked` are sentences on what could not be found out."""

    product_id: str
    product: Product | None
    written_at: int | None
    gone_at: int | None
    unreadable: str | None
    vectors: "VectorsNow | None"
    state: str
    differences: "tuple[Difference, ...]"
    dead_letters: "tuple[DeadLetter, ...]"
    rules: "tuple[RuleOn, ...]"
    nearest: "tuple[Nearest, ...]"
    recommender: "InRecommender | None"
    events: "Events | None"
    unasked: tuple[str, ...] = ()


class VectorsNow(msgspec.Struct, frozen=True, kw_only=True):
    """The message on `product-vectors`. `updated_at` is that of the product that it was made from."""

    written_at: int
    updated_at: int
    layout: str
    segments: "tuple[Segment, ...]"
    models: dict[str, str]


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """One segment: of length 1, or 0 where there is nothing that it could be made from."""

    name: str
    width: int
    is_there: bool
    model: str | None


class Difference(msgspec.Struct, frozen=True):
    """A field that the vectors were made from in another state than the shop's."""

    field: str
    embedded: object
    now: object


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """What was refused under the product's id, whole or its picture alone."""

    reason: str
    stage: str
    service: str
    source: str
    failed_at: int


class RuleOn(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that names the product, and by what."""

    rule_id: str
    action: str
    by: tuple[str, ...]
    slots: tuple[str, ...]
    holds_now: bool
    starts_at: int | None
    ends_at: int | None
    factor: float | None
    position: int | None
    note: str | None


class Nearest(msgspec.Struct, frozen=True, kw_only=True):
    """A product that is near by content: weight · cosine by segment, the greatest first, and in words."""

    product_id: str
    name: str
    availability: str
    score: float
    parts: dict[str, float]
    why: str


class InRecommender(msgspec.Struct, frozen=True, kw_only=True):
    """What the recommender says: whether it has the product, and its row of similar ones."""

    has_it: bool
    availability: str | None
    similar: "tuple[SimilarItem, ...]"
    fallback: str | None
    models: dict[str, str]


class SimilarItem(msgspec.Struct, frozen=True, kw_only=True):
    """One product of that row."""

    product_id: str
    name: str
    score: float
    source: str
    why: str


class Events(msgspec.Struct, frozen=True, kw_only=True):
    """What visitors did with the product in the range; those of erased visitors are left out."""

    since: int | None
    until: int | None
    scanned: int
    by_type: dict[str, int]
    visitors: int
    clicks_on_rows: int
    newest_at: int | None
    erased: int
