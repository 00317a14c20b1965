"""The query parameters that all routes of recommendations share, and what is refused of them."""

from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import dataclass
from math import isfinite
from typing import Annotated, Any, Final, Literal, get_origin

import msgspec
from fastapi import Depends, Header, Query
from pydantic import BaseModel, BeforeValidator, Field

from schemas.live import QUERY_MAX, PageType
from schemas.objectives import OBJECTIVE_MAX, BadObjective, Objective
from schemas.objectives import parse as parse_objective
from services.model.content import PROFILES
from services.recommender.api.errors import BadWeight, RepeatedParameter, UnknownParameter, WrongObjective
from services.recommender.index.port import AVAILABLE, Where
from services.recommender.search.query import OrderName
from services.recommender.search.search import OVERRIDES
from services.web.auth import TOKEN_HEADER

K: Final = 12
K_MAX: Final = 100
EXCLUDED_MAX: Final = 500
VALUES_MAX: Final = 50  # of one filter
WEIGHT_MAX: Final = 10.0
SHOWN_MAX: Final = 100  # characters of somebody's input that an answer repeats

# Without these a list of values is one more way to write a long query.
Values = Annotated[list[Annotated[str, Field(max_length=1000)]], Field(max_length=VALUES_MAX)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
# A search's parameter that is given empty stands in for what the words say: no bound.
Price = Annotated[
    Amount | None,
    BeforeValidator(
        lambda given: None if given == "" else given, json_schema_input_type=Amount | Literal[""] | None
    ),
]

_numbers = msgspec.json.Decoder(dict[str, float])


class RowParameters(BaseModel):
    """How many products, what they must be like, and what counts how much."""

    k: int = Field(K, ge=1, le=K_MAX, description="how many products")
    price_min: Price = Field(None, description="least price, inclusive")
    price_max: Price = Field(None, description="greatest price, inclusive")
    category: Values = Field([], description="a category path or its beginning, such as Women/Shoes")
    brand: Values = Field([], description="only this brand; several: any of them")
    type: Values = Field([], description="only this product type; several: any of them")
    tag: Values = Field([], description="only products with this tag; several: all of them")
    market: Values = Field([], description="only products sold in this market; several: any of them")
    without_category: Values = Field([], description="nothing of this category")
    without_brand: Values = Field([], description="nothing of this brand")
    without_type: Values = Field([], description="nothing of this type")
    without_tag: Values = Field([], description="nothing with this tag")
    in_stock: bool = Field(True, description="false shows what is sold out, too")
    exclude: list[str] = Field([], max_length=EXCLUDED_MAX, description="ids of products to leave out")
    exclude_seen: bool | None = Field(
        None, description="leave out what the visitor has looked at (default: in the visitor's own row only)"
    )
    exclude_bought: bool | None = Field(
        None, description="leave out what the visitor has bought (default: in the visitor's own row only)"
    )
    weights: str | None = Field(
        None,
        max_length=1000,
        description="what counts how much, as category:1,brand:0.2 or as a JSON object; −10 to 10 each",
    )
    objective: str | None = Field(
        None,
        max_length=OBJECTIVE_MAX,
        description="what the learned order is for, as buy:0.7,click:0.3: click, cart and buy, weights from "
        "0 on (default: the shop's rules and settings)",
    )
    diversity: float | None = Field(
        None, ge=0, le=1, description="how unlike each other the products should be (1 − λ of MMR)"
    )
    brand_max: int | None = Field(None, ge=1, le=K_MAX, description="products of one brand at most")
    page_type: PageType = Field("other", description="which page of the shop the row stands on")
    page_category: str = Field(
        "",
        max_length=1000,
        description="the category whose page that is: it counts, and filters nothing",
    )
    explain: bool = Field(False, description="tells the parts of each product's score")
    debug: bool = Field(False, description="the same, and what each step of the row left, and took")

    @property
    def where(self) -> Where:
        """The hard filters."""
        return Where(
            availability=AVAILABLE if self.in_stock else frozenset(),
            price_min=self.price_min,
            price_max=self.price_max,
            category=_paths(self.category),
            brand=_words(self.brand),
            type=_words(self.type),
            tag=_words(self.tag),
            market=_words(self.market),
            without_category=_paths(self.without_category),
            without_brand=_words(self.without_brand),
            without_type=_words(self.without_type),
            without_tag=_words(self.without_tag),
            exclude=frozenset(self.exclude),
        )

    def weights_of(self, kind: str) -> dict[str, float]:
        """The weights that were given, for a kind of row. Raises BadWeight with the name of a wrong one."""
        if not self.weights:
            return {}
        found = _read(self.weights)
        known = weight_names()[kind]
        for name, value in found.items():
            if name not in known:
                raise BadWeight(name[:SHOWN_MAX], "there is no such weight", known)
            if not isfinite(value) or abs(value) > WEIGHT_MAX:
                raise BadWeight(name, f"must be a number from −{WEIGHT_MAX:g} to {WEIGHT_MAX:g}", known)
        return found

    @property
    def given_objective(self) -> Objective | None:
        """What was given. Raises WrongObjective."""
        try:
            return None if self.objective is None else parse_objective(self.objective)
        except BadObjective as error:
            raise WrongObjective(str(error)) from None


Parameters = Annotated[RowParameters, Query()]

WEIGHTS: Final = (
    "text", "image", "caption", "category", "brand", "type", "price", "popularity", "behaviour", "session",
)  # fmt: skip
assert {name for profile in PROFILES.values() for name in profile} <= set(WEIGHTS)


def weight_names() -> dict[str, tuple[str, ...]]:
    """Kind of row → the weights that it has."""
    rows = tuple(name for name in WEIGHTS if name != "session")
    return {kind: WEIGHTS if kind == "search" else rows for kind in (*PROFILES, "popular")}


NO_FILTERS: Final = (
    "k", "weights", "objective", "diversity", "brand_max", "page_type", "page_category", "explain", "debug",
)  # fmt: skip
FILTERS: Final = tuple(name for name in RowParameters.model_fields if name not in NO_FILTERS)


SEVERAL: Final = frozenset(
    name for name, each in RowParameters.model_fields.items() if get_origin(each.annotation) is list
)


def require_known(given: Iterable[str], further: Iterable[str] = ()) -> None:
    """Raises UnknownParameter for a query parameter that a route does not know.

    A filter that is silently left out would show what was to be hidden.
    """
    known = {*RowParameters.model_fields, *further}
    for name in given:
        if name not in known:
            raise UnknownParameter(name[:SHOWN_MAX], FILTERS)


def require_once(given: Iterable[tuple[str, str]], several: Container[str] = SEVERAL) -> None:
    """Raises RepeatedParameter for one that is given twice and holds one value: which of them was meant?"""
    for name, times in Counter(name for name, _ in given).items():
        if times > 1 and name not in several:
            raise RepeatedParameter(name[:SHOWN_MAX], times)


def _read(text: str) -> dict[str, float]:
    if text.lstrip().startswith("{"):
        try:
            return _numbers.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise BadWeight(text[:SHOWN_MAX], f"is no JSON object of numbers: {error}", WEIGHTS) from None
    found = {}
    for pair in filter(None, map(str.strip, text.split(","))):
        name, _, value = pair.partition(":")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            raise BadWeight(name.strip()[:SHOWN_MAX], "needs a number, as in brand:0.2", WEIGHTS) from None
    return found


def _words(values: Iterable[str]) -> frozenset[str]:
    return frozenset(filter(None, values))


def _paths(values: Iterable[str]) -> frozenset[str]:
    return _words(value.rstrip("/") for value in values)


VisitorId = Annotated[
    str,
    Query(
        pattern=r"^[A-Za-z0-9_.:-]{1,64}$",
        description="whose session, experiments and purchases count; needs the token or the API key",
    ),
]
Token = Annotated[
    str | None,
    Query(description="the visitor's token; better shown as X-Eddy-Token", deprecated=True),
]
HeaderToken = Annotated[str | None, Header(alias=TOKEN_HEADER, include_in_schema=False)]
Key = Annotated[str | None, Header(include_in_schema=False)]
Slot = Annotated[
    str | None, Query(min_length=1, max_length=64, description="the row's name on the page, for rules")
]


@dataclass(frozen=True, slots=True)
class RequestIdentity:
    """A visitor as the request names it, nobody where there is none, and what is shown for it."""

    visitor_id: str | None = None
    token: str | None = None
    slot: str | None = None
    authorization: str | None = None


async def own_visitor(
    visitor_id: VisitorId,
    token: Token = None,
    shown: HeaderToken = None,
    slot: Slot = None,
    authorization: Key = None,
) -> RequestIdentity:
    """For rows that are a visitor's."""
    return RequestIdentity(visitor_id, token if shown is None else shown, slot, authorization)


async def any_visitor(
    visitor_id: VisitorId | None = None,
    token: Token = None,
    shown: HeaderToken = None,
    slot: Slot = None,
    authorization: Key = None,
) -> RequestIdentity:
    """For rows that may be anybody's."""
    return RequestIdentity(visitor_id, token if shown is None else shown, slot, authorization)


OwnVisitor = Annotated[RequestIdentity, Depends(own_visitor)]
SomeVisitor = Annotated[RequestIdentity, Depends(any_visitor)]

WHO: Final = ("visitor_id", "token", "slot")  # the query parameters among them


class SearchParameters(BaseModel):
    """Parameters that only searches have."""

    description: str | None = Field(
        None,
        max_length=QUERY_MAX,
        description="what products are to look and read like, instead of the words",
    )
    price_near: Price = Field(None, description="a price to be near to, instead of the words'")
    order: OrderName | Literal[""] | None = Field(
        None, description="what fits the words well by price, time or popularity; empty: by how well it fits"
    )


SearchOnly = Annotated[SearchParameters, Query()]


def overrides(given: Iterable[str], row: RowParameters, search: SearchParameters) -> dict[str, Any]:
    """Fields of Inferred as the caller's parameters set them: what was not given is left to the words."""
    found: dict[str, Any] = {}
    where = row.where
    for name in set(given) & OVERRIDES.keys():
        value = getattr(search if name in SearchParameters.model_fields else where, name)
        found[OVERRIDES[name]] = tuple(sorted(value)) if isinstance(value, frozenset) else value
    if "order" in found:
        found["order"] = found["order"] or None
    if "description" in found:
        found["description"] = found["description"] or ""
    if "tag" in given:
        found["tags"] = ()  # a filter of the request, no longer a wish
    return found
