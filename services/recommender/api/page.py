"""POST /v1/page: all rows of a page in one answer, made together, for pages without a live socket."""

from typing import Annotated, Final

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from schemas.live import Subscribe, check
from services.recommender.api.errors import BadSlots
from services.recommender.api.recommendations import (
    COMMON,
    Recommended,
    RequestHandler,
    json_response,
)
from services.recommender.live.connection import SlotBody, drop_nulls
from services.recommender.pipeline.distinct import find_shown
from services.recommender.pipeline.pipeline import RecommendationPipeline
from services.recommender.pipeline.request import RequestBuilder, Row, SharedLookups
from services.web.auth import ReaderAuth, token_of
from services.web.openapi import TOKEN_OR_KEY, Description, answer, problem, reference
from services.web.requests import UnreadableBody, read_body
from services.web.routes import DirectRoute

BODY_MAX_BYTES: Final = 256 * 1024  # 16 slots that each name 100 products


class PageBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The rows of a page in its order, as a live socket subscribes to them; for a visitor, or for nobody."""

    slots: Annotated[tuple[SlotBody, ...], msgspec.Meta(min_length=1, max_length=16)]
    visitor_id: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.:-]{1,64}\Z")] | None = None


class PageRow(Recommended, frozen=True, omit_defaults=True, kw_only=True):
    """One row of the page, by the name of its slot."""

    slot: str


class PageRows(msgspec.Struct, frozen=True):
    """The rows, in the order of the slots."""

    rows: tuple[PageRow, ...]


STRUCTS: Final = (PageBody, PageRows)

_decoder = msgspec.json.Decoder(PageBody)


def page_routes(
    door: ReaderAuth,
    answerer: RequestHandler,
    pipeline: RecommendationPipeline,
    builder: RequestBuilder,
) -> APIRouter:
    """The route of pages."""
    router = APIRouter(tags=["recommendations"], route_class=DirectRoute)

    @router.post("/v1/page", **_describe())
    async def page(request: Request) -> Response:
        """The rows of a page, made together: a distinct slot leaves out what those before it show."""
        body = _decode(await read_body(request, BODY_MAX_BYTES))
        is_back_end = False
        if body.visitor_id is not None:
            authorization = request.headers.get("authorization")
            access = door.require_visitor(body.visitor_id, token_of(request), authorization)
            is_back_end = access.is_back_end
        answerer.require_ready()
        shared, rows, found = SharedLookups(), dict[str, Row](), list[PageRow]()
        for slot in body.slots:
            shown = find_shown(body.slots, slot.name, rows)
            words = await builder.words(body.visitor_id, slot)
            asked = builder.by_slot(body.visitor_id, slot, words, shown, is_back_end=is_back_end)
            made = await pipeline.run(asked, shared)
            rows[slot.name] = made.row
            found.append(PageRow(slot=slot.name, **answerer.describe(asked, made, slot.query)))
        return json_response(PageRows(tuple(found)))

    return router


def _decode(body: bytes) -> PageBody:
    """Raises UnreadableBody for what is no JSON, BadSlots for what no rows can be made from."""
    try:
        try:
            page = _decoder.decode(body)
        except msgspec.ValidationError:
            page = _decoder.decode(drop_nulls(body))
    except msgspec.ValidationError as error:
        raise BadSlots(str(error)) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise UnreadableBody(f"the body is no JSON: {error}") from None
    if nonsense := check(Subscribe(slots=page.slots)):
        raise BadSlots(nonsense)
    return page


def _describe() -> Description:
    described = answer(200, PageRows, "The rows, in the order of the slots")
    described["responses"] |= COMMON | {
        400: problem("The body is no JSON"),
        413: problem("The body is too large"),
        415: problem("The body is declared as something else than JSON"),
        422: problem("A slot is not what it must be; the document names it"),
    }
    example = {"slots": [{"name": "for_you", "kind": "for_you"}, {"name": "popular", "kind": "popular"}]}
    content = {"application/json": {"schema": reference(PageBody), "example": example}}
    described["openapi_extra"] = {
        "security": [*TOKEN_OR_KEY, {}],
        "requestBody": {"content": content, "required": True},
    }
    return described
