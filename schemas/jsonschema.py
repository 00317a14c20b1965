"""Generates schemas/json/*.json from the message structs: `python -m schemas.jsonschema`."""

import argparse
import inspect
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from schemas.compatibility import breaking_changes
from schemas.erasures import Erasure
from schemas.events import Event
from schemas.experiments import Experiment
from schemas.identities import Identity
from schemas.impressions import Shown
from schemas.live import Ping, Pong, ProtocolError, Recommendations, Subscribe
from schemas.models import Manifest, ModelRelease
from schemas.products import Product
from schemas.rules import Rule
from schemas.sessions import Session
from schemas.vectors import ProductVectors
from schemas.words import WordsRequest, WordVectors

Schema = dict[str, Any]

FOLDER: Final = Path(__file__).parent / "json"

# File name and message. Topics' messages, an artifact's file, what the embedder is asked, the live protocol.
MESSAGES: Final[Mapping[str, type[msgspec.Struct]]] = {
    "event": Event,
    "product": Product,
    "product_vectors": ProductVectors,
    "session": Session,
    "model_release": ModelRelease,
    "erasure": Erasure,
    "shown": Shown,
    "identity": Identity,
    "rule": Rule,
    "experiment": Experiment,
    "manifest": Manifest,
    "words_request": WordsRequest,
    "word_vectors": WordVectors,
    "live_subscribe": Subscribe,
    "live_recommendations": Recommendations,
    "live_error": ProtocolError,
    "live_ping": Ping,
    "live_pong": Pong,
}


def components(structs: Sequence[type[msgspec.Struct]], ref_template: str) -> Schema:
    """The JSON Schemas of structs and of all that they contain, by struct name."""
    _, found = msgspec.json.schema_components(structs, ref_template=ref_template)
    return {name: _dedent(schema) for name, schema in found.items()}


def json_schema(message: type[msgspec.Struct]) -> Schema:
    """The self-contained JSON Schema (2020-12) of one message.

    Messages that travel as MessagePack have the same shape; `bytes` are called base64 here, as in JSON.
    """
    name = message.__name__
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$ref": f"#/$defs/{name}",
        "$defs": components([message], "#/$defs/{name}"),
    }


def text_of(schema: Schema) -> str:
    """A schema as it lies in schemas/json."""
    return msgspec.json.format(msgspec.json.encode(schema), indent=2).decode() + "\n"


def breaking(name: str) -> list[str]:
    """In what a message differs from its file so that readers of today could not read what was written."""
    file = FOLDER / f"{name}.json"
    if not file.exists():
        return []
    return breaking_changes(msgspec.json.decode(file.read_bytes()), json_schema(MESSAGES[name]))


def _dedent(schema: Schema) -> Schema:
    """msgspec takes docstrings with the indentation of the code."""
    if "description" in schema:
        schema["description"] = inspect.cleandoc(schema["description"])
    return schema


def main() -> None:
    """Writes the files; refuses to when a change would break readers of what lies on the topics."""
    parser = argparse.ArgumentParser(
        prog="python -m schemas.jsonschema",
        description="Writes the JSON Schemas of all messages to schemas/json.",
        epilog="example: python -m schemas.jsonschema && git diff schemas/json",
    )
    parser.add_argument(
        "--breaking", action="store_true", help="write even what can no longer read the topics' history"
    )
    allowed = parser.parse_args().breaking
    problems = [f"{name}: {change}" for name in MESSAGES for change in breaking(name)]
    if problems and not allowed:
        sys.exit("\n".join(["not written, messages on the topics could no longer be read:", *problems]))
    FOLDER.mkdir(exist_ok=True)
    for name, message in MESSAGES.items():
        (FOLDER / f"{name}.json").write_text(text_of(json_schema(message)))


if __name__ == "__main__":
    main()
