"""POST /v1/dead-letters: `services.ops dlq` sends refused entries again, as they came and when they came."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from schemas.deadletters import MAX_RETURN_BYTES, RETURN_PATH, Return, Verdicts
from services.bodies import JSON, UnreadableBody, read_body
from services.ingest.answering import json_response
from services.ingest.batches import UnreadableBatch, readable
from services.ingest.credentials import Doorkeeper
from services.ingest.publisher import Publisher
from services.ingest.returned import Judged, judged
from services.problems import NotAuthorised

_decoder: Final = msgspec.json.Decoder(Return)


def dead_letter_routes(door: Doorkeeper, publisher: Publisher, clock: Callable[[], float]) -> APIRouter:
    """The route of letters; `clock` is in Unix ms.

    It is not in /docs: who sends here says when something came, and from whom.
    """
    router = APIRouter()

    @router.post(RETURN_PATH, include_in_schema=False)
    async def post_dead_letters(request: Request) -> Response:
        """Judges letters again. What is taken is on `events` when this answers; what is refused again has a
        new letter, which counts the attempts. With `judge_only` nothing is written."""
        if "authorization" not in request.headers:
            raise NotAuthorised(
                "dead letters need the API key (Authorization: Bearer …), even where auth is optional"
            )
        door.require_back_end(request)
        body = await read_body(request, MAX_RETURN_BYTES, JSON)
        try:
            returned = readable(_decoder.decode, body)
        except UnreadableBatch as error:
            raise UnreadableBody(f'expected {{"letters": […]}}: {error}') from None
        found = [judged(letter) for letter in returned.letters]
        if not returned.judge_only:
            await _publish(publisher, found, int(clock()))
        return json_response(Verdicts([each.verdict for each in found]), 200, cached=False)

    return router


async def _publish(publisher: Publisher, found: Sequence[Judged], at: int) -> None:
    await publisher.take_returned(
        [event for each in found for event in each.events],
        [(rejected, each.way) for each in found for rejected in each.rejected],
        [join for each in found for join in each.joins_to_write],
        at=at,
    )
