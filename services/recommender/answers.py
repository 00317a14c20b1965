"""What the recommender's HTTP API answers with."""

import msgspec

from schemas.live import RecommendedItem


class Recommended(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A row, the same that a live socket shows.

    `caused_by` is the newest event in the visitor's session; `models` names what made the vectors, and as
    `behaviour` the version of the model that served a visitor's row.
    """

    items: tuple[RecommendedItem, ...]
    models: dict[str, str]
    caused_by: str | None = None
