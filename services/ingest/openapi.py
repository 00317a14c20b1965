"""What /docs says of ingest's routes: their bodies, answers, problems and golden examples."""

from importlib.resources import files
from typing import Final

import msgspec

from services.ingest.answers import (
    Answer,
    EventBatch,
    NothingAccepted,
    ProductBatch,
    VisitorAnswer,
    VisitorRequest,
)
from services.openapi import Description, answer, problem, reference
from services.problems import ProblemDocument

STRUCTS: Final = (EventBatch, ProductBatch, VisitorRequest, Answer, NothingAccepted, VisitorAnswer)


def _body(struct: type[msgspec.Struct], examples: dict[str, object], *, required: bool = True) -> Description:
    told = {name: {"value": value} for name, value in examples.items()}
    content = {"schema": reference(struct), "examples": told}
    return {"required": required, "content": {"application/json": content, "text/plain": content}}


def _answers(status: int, struct: type[msgspec.Struct], meaning: str, *problems: int) -> Description:
    """The answer of success, and the problems that a route has of its own."""
    described = answer(status, struct, meaning)
    described["responses"] |= {each: _problem(each) for each in problems}
    return described


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
