"""What /docs says of ingest's routes: their bodies, answers, problems and golden examples."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from starlette.types import Lifespan

from schemas.times import EARLIEST_MS
from services.ingest.responses import (
    Answer,
    ErasureAnswer,
    EventBatch,
    NothingAccepted,
    ProductBatch,
    SegmentAnswer,
    SegmentProblem,
    VisitorAnswer,
    VisitorRequest,
)
from services.ingest.segment.messages import Kind, SegmentBatch, SegmentCall
from services.web.openapi import Description, MsgspecApi, answer, problem, reference
from services.web.problems import ProblemDocument

STRUCTS: Final = (
    EventBatch, ProductBatch, VisitorRequest, SegmentBatch, SegmentCall,
    Answer, NothingAccepted, VisitorAnswer, ErasureAnswer, SegmentAnswer, SegmentProblem,
)  # fmt: skip


class IngestApi(MsgspecApi):
    """The API of ingest, with the third way to show who is asking."""

    def __init__(self, lifespan: Lifespan[FastAPI]) -> None:
        summary = "Events and products come in here; 202, and Segment's 200, mean that Kafka has them."
        super().__init__("Eddy ingest", summary, STRUCTS, lifespan)

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        document = super().openapi()
        document["components"]["securitySchemes"]["write_key"] = {
            "type": "http",
            "scheme": "basic",
            "description": "EDDY_WRITE_KEY as the name, no password; or as writeKey in body or query",
        }
        return document


def _body(struct: type[msgspec.Struct], examples: dict[str, object], *, required: bool = True) -> Description:
    told = {name: {"value": value} for name, value in examples.items()}
    content = {"schema": reference(struct), "examples": told}
    return {"required": required, "content": {"application/json": content, "text/plain": content}}


def _answers(status: int, struct: type[msgspec.Struct], meaning: str, *problems: int) -> Description:
    """The answer of success, and the problems that a route has of its own."""
    described = answer(status, struct, meaning)
    described["responses"] |= {each: _problem(each) for each in problems}
    return described


def _segment(struct: type[msgspec.Struct], summary: str, examples: dict[str, object]) -> Description:
    """A route of Segment's, whose problems have what its SDKs read."""
    described = answer(200, SegmentAnswer, "Kafka has all that the messages say")
    described["responses"] |= {
        each: problem(meaning, SegmentProblem) for each, meaning in SEGMENT_PROBLEMS.items()
    }
    security: list[dict[str, list[str]]] = [{"write_key": []}, {"visitor_token": []}, {"api_key": []}, {}]
    extra = {"requestBody": _body(struct, examples), "security": security}
    return {**described, "summary": summary, "openapi_extra": extra}


def _problem(status: int) -> Description:
    return problem(PROBLEMS[status], NothingAccepted if status == 422 else ProblemDocument)


def _example(name: str) -> object:
    """A golden message of schemas/examples."""
    raw = (files("schemas") / "examples" / f"{name}.json").read_bytes()
    return msgspec.json.decode(raw)


PROBLEMS: Final = {
    400: "The body as a whole cannot be read",
    401: "A token or key is missing or wrong",
    413: "More bytes or entries than one request may have",
    415: "Declared as something else than JSON or text/plain, or as packed by something else than gzip",
    422: "Not one entry is acceptable; the document says why",
    503: "Kafka has not acknowledged within 2 s: send the same again after Retry-After",
}

SEGMENT_PROBLEMS: Final = {
    400: "The body cannot be read, or not one message can be taken; the document says why",
    401: "The write key or the API key is missing or wrong",
    **{status: PROBLEMS[status] for status in (413, 503)},
    415: "Packed by something else than gzip",
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
        "parameters": [
            {"name": "product_id", "in": "path", "required": True, "schema": {"type": "string"}},
            {"name": "deleted_at", "in": "query", "schema": {"type": "integer", "minimum": EARLIEST_MS}},
        ],
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
DESCRIPTION_OF_ERASURE: Final[Description] = {
    **_answers(202, ErasureAnswer, "Kafka knows that the visitor is to be forgotten", 401),
    "openapi_extra": {
        "parameters": [{"name": "visitor_id", "in": "path", "required": True, "schema": {"type": "string"}}],
        "security": [{"admin_key": []}, {"visitor_token": []}],
    },
}
DESCRIPTION_OF_ERASURE["responses"] |= {
    403: problem("No admin key is set, so nobody can show it"),
    503: problem("Kafka does not answer: send the same again after Retry-After"),
    422: problem("This cannot name a visitor"),
}

_SOMEBODY: Final = {"anonymousId": "01JD7Z8QX3N5R2V9W4T6Y8B1CM", "timestamp": "2026-01-01T00:00:00.000Z"}
_VIEW: Final = {
    **_SOMEBODY,
    "event": "Product Viewed",
    "properties": {"product_id": "p0001", "price": 89.5, "currency": "EUR"},
    "messageId": "ajs-next-1767225600000-eaca399a-368a-4c74-aff5-f6ef09a43d7e",
}
_LOGIN: Final = {**_SOMEBODY, "userId": "customer-17", "traits": {"email": "a@example.org"}}

DESCRIPTION_OF_BATCH: Final[Description] = _segment(
    SegmentBatch,
    "Messages of Segment, each judged on its own",
    {"a view and a login": {"batch": [_VIEW | {"type": "track"}, _LOGIN | {"type": "identify"}]}},
)
DESCRIPTIONS_OF_CALLS: Final[Mapping[Kind, Description]] = {
    "track": _segment(SegmentCall, "One event of Segment's e-commerce spec", {"a view": _VIEW}),
    "identify": _segment(SegmentCall, "Joins a visitor to a user", {"a login": _LOGIN}),
    "page": _segment(SegmentCall, "Taken; joins visitor and user where it names both", {"a page": _LOGIN}),
    "screen": _segment(SegmentCall, "As a page", {"a screen": _LOGIN}),
    "group": _segment(SegmentCall, "As a page", {"a group": _LOGIN | {"groupId": "g1"}}),
    "alias": _segment(
        SegmentCall,
        "Joins a former id to a user",
        {"a new id": {"previousId": "17", "userId": "customer-17"}},
    ),
}
