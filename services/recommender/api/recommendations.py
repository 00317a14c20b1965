"""The routes of rows: for a visitor, about a product, popular ones, and what a search finds; each once."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from schemas.live import (
    NAMED_MAX,
    QUERY_MAX,
    CauseProduct,
    Fallback,
    Funnel,
    PageContext,
    RecommendedItem,
    SlotKind,
)
from services.recommender.api.errors import NotReady, UnknownParameter, UnknownProduct
from services.recommender.api.parameters import (
    SEVERAL,
    SHOWN_MAX,
    WHO,
    OwnVisitor,
    Parameters,
    RequestIdentity,
    RowParameters,
    SearchOnly,
    SearchParameters,
    SomeVisitor,
    overrides,
    require_known,
    require_once,
)
from services.recommender.catalogue import Catalogue
from services.recommender.impressions import Impressions
from services.recommender.index.port import Where
from services.recommender.metrics import Metrics
from services.recommender.pipeline.pipeline import RecommendationPipeline
from services.recommender.pipeline.relaxation import WishCount
from services.recommender.pipeline.request import RecommendationRequest, RecommendationResult, RequestBuilder
from services.recommender.search.query import Inferred
from services.recommender.search.search import Searcher, UnderstoodBy
from services.recommender.visitor_sessions import MergedSessions
from services.web.auth import ReaderAuth
from services.web.openapi import TOKEN_OR_KEY, Description, answer, problem
from services.web.requests import PRODUCT


class Recommended(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A row, the same that a live socket shows.

    `caused_by` is the newest event in the visitor's session; `models` names what made the vectors, and as
    `behaviour` the version of the model that served. `recommendation_id` is what clicks name, where a visitor
    was shown something. `fallback` tells why the row is not what was asked for, `notice` what else there is.
    `experiments` are the visitor's: experiment → variant. `causes` are the products that reasons name;
    `funnel` is there for debug=true.
    """

    items: tuple[RecommendedItem, ...]
    models: dict[str, str]
    caused_by: str | None = None
    recommendation_id: str | None = None
    fallback: Fallback | None = None
    notice: str | None = None
    experiments: dict[str, str] = {}
    causes: dict[str, CauseProduct] = {}
    funnel: Funnel | None = None


class Found(Recommended, frozen=True, omit_defaults=True, kw_only=True):
    """What a search found, and what its words were understood as.

    `counts`: where nothing fits all of it, how many products fit without one value of one parameter.
    """

    inferred: Inferred
    understood_by: UnderstoodBy
    counts: tuple[WishCount, ...] = ()


NOT_READY: Final = problem("The catalogue is still being read: ask again after Retry-After")
BAD_PARAMETER: Final = problem("A parameter is unknown or out of its bounds; the document names it")
COMMON: Final = {
    401: problem("A token or key is missing or wrong"),
    422: BAD_PARAMETER,
    503: NOT_READY,
}

OF_NOBODY: Final[Description] = {"openapi_extra": {"security": []}}

Words = Annotated[
    str,
    Query(max_length=QUERY_MAX, description="such as: a mens shirt with stripes under $90; or empty"),
]
Ids = Annotated[list[str], Query(min_length=1, max_length=NAMED_MAX, description="ids of products")]
By = Annotated[Literal["topic", "type"], Query(description="of another category, or another type of product")]

SEARCH: Final = "/v1/search"
PRODUCT_ID: Final = "product_id"  # may be given several times, where a route knows it

_encoder = msgspec.json.Encoder()


class RequestHandler:
    """From a request's parameters to its answer."""

    def __init__(
        self,
        door: ReaderAuth,
        rows: RecommendationPipeline,
        *,
        sessions: MergedSessions,
        impressions: Impressions,
        models: Callable[[str | None], dict[str, str]],
        waiting_for: Callable[[], str | None],
        metrics: Metrics,
    ) -> None:
        self._door = door
        self._rows = rows
        self._sessions = sessions
        self._impressions = impressions
        self._models = models
        self._waiting_for = waiting_for
        self._metrics = metrics

    def parse(
        self,
        kind: SlotKind,
        request: Request,
        parameters: RowParameters,
        who: RequestIdentity,
        *further: str,
    ) -> RecommendationRequest:
        """What is asked for.

        Raises NotAuthorised, NotReady, BadWeight, WrongObjective, Unknown- and RepeatedParameter.
        """
        is_back_end = (
            who.visitor_id is not None
            and self._door.require_visitor(who.visitor_id, who.token, who.authorization).is_back_end
        )
        require_known(request.query_params.keys(), [*WHO, *further])
        require_once(request.query_params.multi_items(), SEVERAL | {PRODUCT_ID})
        self.require_ready()
        is_own = kind == "for_you"
        return RecommendationRequest(
            kind=kind,
            k=parameters.k,
            where=parameters.where,
            slot=who.slot or "",
            visitor_id=who.visitor_id,
            session=None if who.visitor_id is None else self._sessions.session(who.visitor_id),
            own=None if who.visitor_id is None or is_back_end else self._sessions.own_events(who.visitor_id),
            weights=parameters.weights_of(kind),
            objective=parameters.given_objective,
            diversity=parameters.diversity,
            brand_max=parameters.brand_max,
            page=PageContext(type=parameters.page_type, category=parameters.page_category or None),
            without_seen=is_own if parameters.exclude_seen is None else parameters.exclude_seen,
            without_bought=is_own if parameters.exclude_bought is None else parameters.exclude_bought,
            explains=parameters.explain or parameters.debug,
            debug=parameters.debug,
        )

    def require_ready(self) -> None:
        """Raises NotReady."""
        if missing := self._waiting_for():
            raise NotReady(missing)

    async def answer(self, asked: RecommendationRequest, query: str | None = None) -> Response:
        """The row."""
        made = await self._rows.run(asked)
        told = self.describe(asked, made, query)
        search = asked.search
        if search is not None:
            self._metrics.understood.labels(search.by).inc()
            return json_response(
                Found(**told, inferred=search.inferred, understood_by=search.by, counts=made.counts)
            )
        return json_response(Recommended(**told))

    def describe(
        self, asked: RecommendationRequest, made: RecommendationResult, query: str | None
    ) -> dict[str, Any]:
        """The fields of Recommended; the row is recorded as shown."""
        if made.fallback is not None:
            self._metrics.fallbacks.labels(made.fallback).inc()
        models = self._models(made.model)
        published = self._sessions.latest(asked.visitor_id) if asked.visitor_id is not None else None
        caused_by = published.caused_by if published else None
        return {
            "items": made.row,
            "models": models,
            "caused_by": caused_by,
            "recommendation_id": self._impressions.record(
                asked, made, models, query=query, caused_by=caused_by
            ),
            "fallback": made.fallback,
            "notice": made.notice,
            "experiments": dict(made.experiments),
            "causes": dict(made.causes),
            "funnel": made.funnel,
        }


def recommendation_routes(
    answerer: RequestHandler, catalogue: Catalogue, searcher: Searcher, builder: RequestBuilder
) -> APIRouter:
    """The routes of rows."""
    router = APIRouter(tags=["recommendations"])

    async def about(kind: SlotKind, product_id: str, asked: RecommendationRequest) -> Response:
        if catalogue.get(product_id) is None:
            raise UnknownProduct(product_id)
        return await answerer.answer(replace(asked, kind=kind, product_id=product_id))

    @router.get("/v1/recommendations", **_describe("The visitor's row, as a live socket shows it"))
    async def recommendations(request: Request, who: OwnVisitor, parameters: Parameters) -> Response:
        """For a visitor, without what the session has seen. New visitors get what is popular."""
        asked = answerer.parse("for_you", request, parameters, who)
        assert who.visitor_id is not None
        return await answerer.answer(replace(asked, searches=await builder.recent(who.visitor_id)))

    @router.get("/v1/products", **_describe("The products as they are now") | OF_NOBODY)
    async def products(request: Request, product_id: Ids) -> Response:
        """Products by id, for pages that show them: sold out or not; what is not known is left out."""
        for name in request.query_params.keys() - {"product_id"}:
            raise UnknownParameter(name[:SHOWN_MAX], ["product_id"])
        answerer.require_ready()
        ids = tuple(product_id)
        return await answerer.answer(
            RecommendationRequest(kind="products", k=len(ids), where=Where(), product_ids=ids)
        )

    @router.get(f"/v1/products/{PRODUCT}/similar", **_about("Products like this one"))
    async def similar(
        request: Request, product_id: str, who: SomeVisitor, parameters: Parameters
    ) -> Response:
        """Like a product, by content and by what visits hold beside it."""
        asked = answerer.parse("similar", request, parameters, who)
        return await about("similar", product_id, asked)

    @router.get(f"/v1/products/{PRODUCT}/also-liked", **_about("What is liked beside this one"))
    async def also_liked(
        request: Request, product_id: str, who: SomeVisitor, parameters: Parameters
    ) -> Response:
        """What those who looked at a product also looked at, whatever it looks like."""
        asked = answerer.parse("also_liked", request, parameters, who)
        return await about("also_liked", product_id, asked)

    @router.get(f"/v1/products/{PRODUCT}/complements", **_about("What goes with this one"))
    async def complements(
        request: Request, product_id: str, who: SomeVisitor, parameters: Parameters, by: By = "topic"
    ) -> Response:
        """Liked together with a product, but of another category (by=topic) or type (by=type)."""
        kind: SlotKind = "complement_topic" if by == "topic" else "complement_type"
        return await about(kind, product_id, answerer.parse(kind, request, parameters, who, "by"))

    @router.get("/v1/complements", **_describe("What goes with these"))
    async def complements_of_several(
        request: Request, product_id: Ids, who: SomeVisitor, parameters: Parameters, by: By = "topic"
    ) -> Response:
        """For a cart: what goes with any of its products, and is none of them, nor of their kinds.

        Products that nobody knows are passed over.
        """
        kind: SlotKind = "complement_topic" if by == "topic" else "complement_type"
        asked = answerer.parse(kind, request, parameters, who, "by", PRODUCT_ID)
        return await answerer.answer(replace(asked, product_ids=tuple(product_id)))

    @router.get("/v1/popular", **_describe("What many look at"))
    async def popular(request: Request, who: SomeVisitor, parameters: Parameters) -> Response:
        """What many look at, put in their cart and buy these days, within the filters."""
        return await answerer.answer(answerer.parse("popular", request, parameters, who))

    @router.get(SEARCH, **_describe("What fits the words, and what they were understood as", Found))
    async def search(
        request: Request, q: Words, who: SomeVisitor, parameters: Parameters, further: SearchOnly
    ) -> Response:
        """Natural language. A parameter that is given, even empty, stands in for what the words say.

        Filters without words are browsing: what is popular of what they let through.
        """
        asked = answerer.parse("search", request, parameters, who, "q", *SearchParameters.model_fields)
        found = await searcher.search(q, overrides(request.query_params.keys(), parameters, further))
        where = found.narrow(asked.where)
        return await answerer.answer(replace(asked, search=found, where=where, given=asked.where), q)

    return router


def json_response(body: msgspec.Struct) -> Response:
    """What no cache keeps."""
    headers = {"Cache-Control": "no-store"}
    return Response(_encoder.encode(body), media_type="application/json", headers=headers)


def _about(meaning: str) -> Description:
    described = _describe(meaning)
    described["responses"] |= {404: problem("No such product")}
    return described


def _describe(meaning: str, struct: type[msgspec.Struct] = Recommended) -> Description:
    described = answer(200, struct, meaning)
    described["responses"] |= COMMON
    described["openapi_extra"] = {"security": [*TOKEN_OR_KEY, {}]}
    return described
