"""What the recommender's HTTP API answers with."""

import msgspec

from schemas.live import Fallback, RecommendedItem
from services.recommender.search.inferred import Inferred
from services.recommender.search.understanding import UnderstoodBy


class Recommended(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A row, the same that a live socket shows.

    `caused_by` is the newest event in the visitor's session; `models` names what made the vectors, and as
    `behaviour` the version of the model that served. `recommendation_id` is what clicks name, where a visitor
    was shown something. `fallback` tells why the row is not what was asked for, `notice` what else there is.
    `experiments` are the visitor's: experiment → variant.
    """

    items: tuple[RecommendedItem, ...]
    models: dict[str, str]
    caused_by: str | None = None
    recommendation_id: str | None = None
    fallback: Fallback | None = None
    notice: str | None = None
    experiments: dict[str, str] = {}


class Found(Recommended, frozen=True, omit_defaults=True, kw_only=True):
    """What a search found, and what its words were understood as."""

    inferred: Inferred
    understood_by: UnderstoodBy
