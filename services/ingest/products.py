"""PUT /v1/products and DELETE /v1/products/{id}: the catalogue to Kafka."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from schemas.products import MAX_BATCH_BYTES, MAX_BATCH_PRODUCTS
from services.ingest.metrics import Metrics
from services.ingest.openapi import DESCRIPTION_OF_DELETION, DESCRIPTION_OF_PRODUCTS
from services.ingest.publisher import Publisher
from services.ingest.responses import NothingAcceptable, answer_of, answer_of_refusal
from services.ingest.validation import UnreadableBatch, split_products, validate_products
from services.web.auth import VisitorAuth
from services.web.problems import RefusedByKafka
from services.web.requests import PRODUCT, TooLarge, UnreadableBody, read_body


def product_routes(door: VisitorAuth, publisher: Publisher, metrics: Metrics) -> APIRouter:
    """The routes of products. Refused ones are told to the sender only: a back end reads its answers."""
    router = APIRouter(tags=["products"])

    @router.put("/v1/products", **DESCRIPTION_OF_PRODUCTS)
    async def put_products(request: Request) -> Response:
        """Adds or changes products. Of two descriptions of one product the newest `updated_at` counts."""
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
        verdict = validate_products(entries)
        for each in verdict.rejected:
            metrics.products_rejected.labels(each.stage).inc()
        try:
            await publisher.take_products(verdict.accepted)
        except RefusedByKafka as refusal:
            metrics.products_rejected.labels("broker").inc(len(refusal.refused))
            return answer_of_refusal(refusal, verdict.accepted, verdict.rejected)
        return answer_of(len(verdict.accepted), verdict.rejected)

    @router.delete(f"/v1/products/{PRODUCT}", **DESCRIPTION_OF_DELETION)
    async def delete_product(request: Request) -> Response:
        """Removes a product from every index. An id that nobody knows is no error."""
        door.require_back_end(request)
        product_id = str(request.path_params["product_id"])
        if not 1 <= len(product_id) <= 128:
            raise NothingAcceptable("a product id has 1 to 128 characters")
        await publisher.delete_product(product_id)
        return answer_of(1, [])

    return router
