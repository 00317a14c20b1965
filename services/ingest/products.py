"""PUT /v1/products and DELETE /v1/products/{id}: the catalogue to Kafka."""

import re

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from schemas import texts, times
from schemas.products import MAX_BATCH_BYTES, MAX_BATCH_PRODUCTS
from services.ingest.events import Clock
from services.ingest.metrics import Metrics
from services.ingest.openapi import DESCRIPTION_OF_DELETION, DESCRIPTION_OF_PRODUCTS
from services.ingest.publisher import Publisher
from services.ingest.responses import NothingAcceptable, answer_of
from services.ingest.validation import (
    Outdated,
    Rejected,
    UnreadableBatch,
    split_products,
    validate_products,
)
from services.web.auth import VisitorAuth
from services.web.requests import PRODUCT, TooLarge, UnreadableBody, read_body
from services.web.routes import DirectRoute


def product_routes(door: VisitorAuth, publisher: Publisher, metrics: Metrics, clock: Clock) -> APIRouter:
    """The routes of products. Refused ones are told to the sender only: a back end reads its answers."""
    router = APIRouter(tags=["products"], route_class=DirectRoute)

    @router.put("/v1/products", **DESCRIPTION_OF_PRODUCTS)
    async def put_products(request: Request) -> Response:
        """Adds or changes products. Of two descriptions of one product the newest `updated_at` counts.

        One that is older than what is there, or than the product's deletion, is answered as `ignored`.
        """
        door.require_back_end(request)
        body = await read_body(request, MAX_BATCH_BYTES)
        try:
            entries = split_products(body)
        except UnreadableBatch as error:
            raise UnreadableBody(f'expected {{"products": […]}}: {error}') from None
        if len(entries) > MAX_BATCH_PRODUCTS:
            raise TooLarge(
                f"{len(entries)} products, at most {MAX_BATCH_PRODUCTS} are taken: send smaller batches"
            )
        verdict = validate_products(entries, received_at=int(clock()))
        for each in verdict.rejected:
            metrics.products_rejected.labels(each.stage).inc()
        taken = await publisher.take_products(verdict.accepted)
        ignored = [Outdated(verdict.places[place], why) for place, why in taken.ignored.items()]
        refused = [
            Rejected(verdict.places[place], "broker", why, b"") for place, why in taken.refused.items()
        ]
        metrics.products_rejected.labels("broker").inc(len(refused))
        rejected = sorted([*verdict.rejected, *refused], key=lambda each: each.index)
        return answer_of(len(verdict.accepted) - len(ignored) - len(refused), rejected, ignored)

    @router.delete(f"/v1/products/{PRODUCT}", **DESCRIPTION_OF_DELETION)
    async def delete_product(request: Request) -> Response:
        """Removes a product from every index. An id that nobody knows is no error.

        `deleted_at` (Unix ms) says as of when, on the clock that `updated_at` is from; without it, it is now.
        What is put later with an older `updated_at` is ignored, and so is a deletion older than the product.
        """
        door.require_back_end(request)
        product_id = str(request.path_params["product_id"])
        if not 1 <= len(product_id) <= 128:
            raise _refuse("a product id has 1 to 128 characters")
        if nonsense := texts.check_names([("product_id", product_id)]):
            raise _refuse(nonsense)
        now = int(clock())
        at = _deletion_time(request.query_params.get("deleted_at"), now)
        if reason := await publisher.delete_product(product_id, at=at, now=now):
            return answer_of(0, [], [Outdated(0, reason)])
        return answer_of(1, [])

    return router


def _deletion_time(told: str | None, now: int) -> int | None:
    if told is None:
        return None
    if not re.fullmatch(r"[0-9]{1,15}", told):
        raise _refuse("deleted_at: expected Unix time in ms")
    if nonsense := times.check("deleted_at", int(told)):
        raise _refuse(nonsense)
    return times.clamp(int(told), now)


def _refuse(reason: str) -> NothingAcceptable:
    """Of the one entry that a deletion is."""
    return NothingAcceptable(reason, fields={"accepted": 0, "rejected": [{"index": 0, "reason": reason}]})
