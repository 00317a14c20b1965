"""What /docs says: bodies are decoded by msgspec, so their schemas come from the structs themselves."""

from importlib.resources import files
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from starlette.responses import Response
from starlette.types import Lifespan

from schemas.jsonschema import Schema, components
from services.ingest.answers import (
    Answer,
    EventBatch,
    NothingAccepted,
    ProductBatch,
    VisitorAnswer,
    VisitorRequest,
)
from services.problems import MEDIA_TYPE, ProblemDocument

BODIES: Final = (
    EventBatch, ProductBatch, VisitorRequest, Answer, NothingAccepted, VisitorAnswer, ProblemDocument,
)  # fmt: skip
REF: Final = "#/components/schemas/{name}"

Description = dict[str, Any]  # keyword arguments of a FastAPI route


class IngestApi(FastAPI):
    """FastAPI, with the schemas of msgspec's structs and the two ways to show who is asking."""

    def __init__(self, lifespan: Lifespan[FastAPI]) -> None:
        super().__init__(
            title="Eddy ingest",
            summary="Events and products come in here; 202 means that Kafka has them.",
            version="1",
            redoc_url=None,
            lifespan=lifespan,
            telemetry={"tracing": False},  # its spans would hold the query, and in it a visitor's token
        )

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        document = super().openapi()
        parts = document.setdefault("components", {})
        parts.setdefault("schemas", {}).update(components(BODIES, REF))
        parts["securitySchemes"] = {
            "api_key": {"type": "http", "scheme": "bearer", "description": "EDDY_API_KEY, for back ends"},
            "visitor_token": {
                "type": "apiKey",
                "in": "query",
                "name": "token",
                "description": "for browsers",
            },
        }
        return document


def _ref(struct: type[msgspec.Struct]) -> Schema:
    return {"$ref": REF.format(name=struct.__name__)}


def _body(struct: type[msgspec.Struct], examples: dict[str, object], *, required: bool = True) -> Description:
    told = {name: {"value": value} for name, value in examples.items()}
    content = {"schema": _ref(struct), "examples": told}
    return {"required": required, "content": {"application/json": content, "text/plain": content}}


def _answers(status: int, struct: type[msgspec.Struct], meaning: str, *problems: int) -> Description:
    """The answer of success, and the problems that a route has of its own."""
    described = {each: _problem(each) for each in problems}
    described[status] = {
        "description": meaning,
        "content": {"application/json": {"schema": _ref(struct)}},
    }
    return {"status_code": status, "response_class": Response, "responses": described}


def _problem(status: int) -> Description:
    struct = NothingAccepted if status == 422 else ProblemDocument
    return {"description": PROBLEMS[status], "content": {MEDIA_TYPE: {"schema": _ref(struct)}}}


def _example(name: str) -> object:
    """A golden message of schemas/examples."""
    raw = (files("schemas") / "examples" / f"{name}.json").read_bytes()
    return msgspec.json.decode(raw)


PROBLEMS: Final = {
    400: "The body as a whole cannot be read",
    401: "A token or key is missing or wrong",
    413: "More bytes or entries than one request may have",
    415: "Declared as something else than JSON or text/plain",
    422: "Not one entry is acceptable; the document says why",
    503: "Kafka has not acknowledged within 2 s: send the same again after Retry-After",
}

DESCRIPTION_OF_EVENTS: Final[Description] = {
    **_answers(202, Answer, "Kafka has every accepted event", 400, 401, 413, 415, 422, 503),
    "openapi_extra": {
        "requestBody": _body(
            EventBatch,
            {
                "a view": {"events": [_example("view_item")]},
                "an order": {"events": [_example("purchase")]},
            },
        ),
        "security": [{"visitor_token": []}, {"api_key": []}, {}],
    },
}
DESCRIPTION_OF_PRODUCTS: Final[Description] = {
    **_answers(202, Answer, "Kafka has every accepted product", 400, 401, 413, 415, 422, 503),
    "openapi_extra": {
        "requestBody": _body(ProductBatch, {"a boot": {"products": [_example("product")]}}),
        "security": [{"api_key": []}, {}],
    },
}
DESCRIPTION_OF_DELETION: Final[Description] = {
    **_answers(202, Answer, "Kafka knows that the product is gone", 401, 422, 503),
    "openapi_extra": {
        "parameters": [{"name": "product_id", "in": "path", "required": True, "schema": {"type": "string"}}],
        "security": [{"api_key": []}, {}],
    },
}
DESCRIPTION_OF_VISITORS: Final[Description] = {
    **_answers(200, VisitorAnswer, "A token that speaks for the visitor", 400, 401, 413, 415),
    "openapi_extra": {
        "requestBody": _body(
            VisitorRequest,
            {"a new visitor": {}, "for a back end": {"visitor_id": "customer-17"}},
            required=False,
        ),
        "security": [{}, {"api_key": []}],
    },
}
