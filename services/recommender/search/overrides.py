"""What a caller of a search says itself instead of what its words say."""

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, Field

from schemas.live import QUERY_MAX
from services.recommender.query_parameters import Price, RowParameters
from services.recommender.search.searches import OVERRIDES


class SearchParameters(BaseModel):
    """Parameters that only searches have."""

    description: str | None = Field(
        None,
        max_length=QUERY_MAX,
        description="what products are to look and read like, instead of the words",
    )
    price_near: Price = Field(None, description="a price to be near to, instead of the words'")


SearchOnly = Annotated[SearchParameters, Query()]


def overrides(given: Iterable[str], row: RowParameters, search: SearchParameters) -> dict[str, Any]:
    """Fields of Inferred as the caller's parameters set them: what was not given is left to the words."""
    found: dict[str, Any] = {}
    where = row.where
    for name in set(given) & OVERRIDES.keys():
        value = getattr(search if name in SearchParameters.model_fields else where, name)
        found[OVERRIDES[name]] = tuple(sorted(value)) if isinstance(value, frozenset) else value
    if "description" in found:
        found["description"] = found["description"] or ""
    if "tag" in given:
        found["tags"] = ()  # a filter of the request, no longer a wish
    return found
