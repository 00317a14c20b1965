"""What /docs says: bodies are read and written by msgspec, so their schemas come from the structs."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Lifespan

from schemas.jsonschema import Schema, components
from services.web.problems import MEDIA_TYPE, ProblemDocument
from services.web.routes import DirectRoutes

REF: Final = "#/components/schemas/{name}"
FASTAPIS_OWN: Final = REF.format(name="HTTPValidationError")
TOKEN_OR_KEY: Final[tuple[dict[str, list[str]], ...]] = ({"visitor_token": []}, {"api_key": []})

Description = dict[str, Any]  # keyword arguments of a FastAPI route
# Answers that do not depend on the path: of the connection, before there is a request, and of rates.
OF_EVERY_REQUEST: Final = {
    "400": "This is no HTTP request",
    "408": "The request's headers or body come too slowly",
    "414": "The request's first line has more than EDDY_HEADER_BYTES_MAX",
    "429": "More than a token, key, address or tenant may send; Retry-After says when to send the same again",
    "431": "The request's headers have more than EDDY_HEADER_BYTES_MAX",
}


class MsgspecApi(FastAPI):
    """FastAPI, with the schemas of msgspec's structs and the two ways to show who is asking."""

    def __init__(
        self, title: str, summary: str, structs: Sequence[type[msgspec.Struct]], lifespan: Lifespan[FastAPI]
    ) -> None:
        super().__init__(
            title=title,
            summary=summary,
            version="1",
            docs_url=None,  # FastAPI's page loads its script from a CDN
            redoc_url=None,
            lifespan=lifespan,
            telemetry={"tracing": False},  # its spans would hold the query, and in it a visitor's token
        )
        self._structs: tuple[type[msgspec.Struct], ...] = (*structs, ProblemDocument)
        self.add_middleware(DirectRoutes, api=self)  # first, so innermost
        self.add_api_route("/docs", self._docs, include_in_schema=False)
        self.mount("/docs/files", StaticFiles(packages=[("fastapi_offline", "static")]))

    async def _docs(self) -> Response:
        """Swagger UI with files from a Python package. Relative addresses hold behind any proxy's path."""
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title=self.title,
            swagger_js_url="docs/files/swagger-ui-bundle.js",
            swagger_css_url="docs/files/swagger-ui.css",
            swagger_favicon_url="docs/files/favicon.png",
        )

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        document = super().openapi()
        parts = document.setdefault("components", {})
        parts.setdefault("schemas", {}).update(components(self._structs, REF))
        _tell_of_problems(document)
        parts["securitySchemes"] = {
            "api_key": {"type": "http", "scheme": "bearer", "description": "EDDY_API_KEY, for back ends"},
            "admin_key": {
                "type": "http",
                "scheme": "bearer",
                "description": "EDDY_ADMIN_KEY, for rules, experiments and erasures",
            },
            "visitor_token": {
                "type": "apiKey",
                "in": "query",
                "name": "token",
                "description": "for browsers",
            },
        }
        return document


def _tell_of_problems(document: dict[str, Any]) -> None:
    """FastAPI promises answers of its own for bad parameters; `problems.install` answers in their place."""
    operations = [each for methods in document["paths"].values() for each in methods.values()]
    for operation in operations:
        for status, meaning in OF_EVERY_REQUEST.items():
            operation["responses"].setdefault(status, problem(meaning))
        told = operation["responses"].get("422", {}).get("content", {})
        if told.get("application/json", {}).get("schema", {}).get("$ref") == FASTAPIS_OWN:
            operation["responses"]["422"] = problem(
                "A parameter is not what it must be; the document names it"
            )
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)


def reference(struct: type[msgspec.Struct]) -> Schema:
    """The reference to a struct's schema."""
    return {"$ref": REF.format(name=struct.__name__)}


def answer(status: int, struct: type[msgspec.Struct], meaning: str) -> Description:
    """The answer of success, for the keyword arguments of a route; problems go beside it."""
    content = {"application/json": {"schema": reference(struct)}}
    return {
        "status_code": status,
        "response_class": Response,
        "responses": {status: {"description": meaning, "content": content}},
    }


def problem(meaning: str, struct: type[msgspec.Struct] = ProblemDocument) -> Description:
    """One status with a problem document, for a route's `responses`."""
    return {"description": meaning, "content": {MEDIA_TYPE: {"schema": reference(struct)}}}
