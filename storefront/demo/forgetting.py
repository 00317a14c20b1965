"""POST /forget: a visitor who shows its token is forgotten, in its own name."""

import json
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from storefront.demo.ingest import Ingest, NotTaken
from storefront.demo.security import is_from_own_page

BODY_MAX_BYTES: Final = 4096


def forgetting_routes(ingest: Ingest) -> APIRouter:
    """The route that the profile page asks. The token says who it is: nobody forgets anybody else."""
    router = APIRouter()

    @router.post("/forget")
    async def forget(request: Request) -> Response:
        if not is_from_own_page(request):
            raise HTTPException(403, "Only the shop's own page asks for this.")
        try:
            await ingest.forget(_token(await request.body()))
        except NotTaken as refusal:
            return JSONResponse({"detail": str(refusal)}, HTTPStatus.BAD_GATEWAY)
        return JSONResponse({"forgotten": True}, HTTPStatus.ACCEPTED)

    return router


def _token(body: bytes) -> str:
    try:
        return str(json.loads(body[:BODY_MAX_BYTES])["token"])
    except (ValueError, KeyError, TypeError):
        raise HTTPException(422, "A token is needed.") from None
