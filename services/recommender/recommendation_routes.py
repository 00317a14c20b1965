"""GET /v1/recommendations, /v1/products/{id}/similar and /v1/popular: one row, once."""

from collections.abc import Callable
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from schemas.events import is_visitor_id
from services.openapi import TOKEN_OR_KEY, Description, answer, problem
from services.problems import NotAuthorised
from services.recommender.answers import Recommended
from services.recommender.catalogue import Catalogue
from services.recommender.credentials import Doorkeeper
from services.recommender.query_parameters import Parameters
from services.recommender.refusals import NotReady, UnknownProduct
from services.recommender.rows import Made, RowMaker
from services.recommender.sessions import Sessions

NOT_READY: Final = problem("The catalogue is still being read: ask again after Retry-After")
BAD_PARAMETER: Final = problem("A parameter is out of its bounds; the document names it")
COMMON: Final = {422: BAD_PARAMETER, 503: NOT_READY}

VisitorId = Annotated[str, Query(description="whose session to use")]
Token = Annotated[str | None, Query(description="the visitor's token, from ingest's POST /v1/visitors")]
Key = Annotated[str | None, Header(include_in_schema=False)]

_encoder = msgspec.json.Encoder()


def recommendation_routes(
    door: Doorkeeper,
    rows: RowMaker,
    *,
    catalogue: Catalogue,
    sessions: Sessions,
    models: Callable[[str | None], dict[str, str]],
    waiting_for: Callable[[], str | None],
) -> APIRouter:
    """The routes of rows."""
    router = APIRouter(tags=["recommendations"])

    def answered(made: Made, caused_by: str | None = None) -> Response:
        answer = Recommended(items=made.row, models=models(made.model), caused_by=caused_by)
        body = _encoder.encode(answer)
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})

    def require_ready() -> None:
        if missing := waiting_for():
            raise NotReady(missing)

    @router.get(
        "/v1/recommendations",
        **_described("The visitor's row, as a live socket shows it", 401),
        openapi_extra={"security": list(TOKEN_OR_KEY)},
    )
    async def recommendations(
        visitor_id: VisitorId, parameters: Parameters, token: Token = None, authorization: Key = None
    ) -> Response:
        """For a visitor, without what the session has seen. New visitors get what is popular."""
        door.require_visitor(visitor_id, token, authorization)
        if not is_visitor_id(visitor_id):
            raise NotAuthorised("visitor_id is no visitor's id")
        require_ready()
        published = sessions.published(visitor_id)
        made = await rows.for_you(sessions.session(visitor_id), parameters.k, parameters.where)
        return answered(made, published.caused_by if published else None)

    @router.get("/v1/products/{product_id:path}/similar", **_described("Products like this one", 404))
    async def similar(product_id: str, parameters: Parameters) -> Response:
        """Like a product; popular ones, and labelled so, while it has no vector."""
        require_ready()
        if catalogue.get(product_id) is None:
            raise UnknownProduct(product_id)
        return answered(Made(await rows.similar(product_id, parameters.k, parameters.where)))

    @router.get("/v1/popular", **_described("What many look at"))
    async def popular(parameters: Parameters) -> Response:
        """What is popular, within the filters."""
        require_ready()
        return answered(Made(rows.popular(parameters.k, parameters.where)))

    return router


def _described(meaning: str, *further: int) -> Description:
    told = {401: problem("A token or key is missing or wrong"), 404: problem("No such product")}
    described = answer(200, Recommended, meaning)
    described["responses"] |= COMMON | {status: told[status] for status in further}
    return described
