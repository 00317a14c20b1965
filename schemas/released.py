"""Golden messages of every version ever released (schemas/examples/released), and what they say today."""

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import msgspec

from schemas import (
    erasures,
    events,
    experiments,
    identities,
    impressions,
    models,
    products,
    rules,
    sessions,
    vectors,
    words,
)
from schemas.compatibility import breaking_changes
from schemas.jsonschema import MESSAGES, Schema, json_schema
from schemas.sessions import Session

FOLDER: Final = Path(__file__).parent / "examples" / "released"
ABOUT: Final = "about.json"
SCHEMAS: Final = "schemas.json"
HEADERS: Final = "headers"  # files of this name hold the Kafka headers of a message, name and text
MEANING: Final = ".msgpack.json"  # beside each binary message

# Versions whose messages the schema of today does not allow, and what reads them all the same.
MIGRATED: Final[Mapping[tuple[str, str], str]] = {
    ("01-live-loop", "session"): "schemas.sessions.decode keeps the events of the former form; "
    "its vectors are computed anew",
}


@dataclass(frozen=True, slots=True)
class Codec:
    """How one kind of message is read and written today."""

    decode: Callable[[bytes], Any]
    encode: Callable[[Any], bytes]


def _of_json(name: str) -> Codec:
    """For messages that have no module functions of their own: those of the live protocol."""
    return Codec(msgspec.json.Decoder(MESSAGES[name]).decode, msgspec.json.encode)


CODECS: Final[Mapping[str, Codec]] = {
    "event": Codec(events.decode, events.encode),
    "product": Codec(products.decode, products.encode),
    "product_vectors": Codec(vectors.decode, vectors.encode),
    "session": Codec(sessions.decode, sessions.encode),
    "model_release": Codec(models.decode, models.encode),
    "erasure": Codec(erasures.decode, erasures.encode),
    "shown": Codec(impressions.decode, impressions.encode),
    "identity": Codec(identities.decode, identities.encode),
    "rule": Codec(rules.decode, rules.encode),
    "experiment": Codec(experiments.decode, experiments.encode),
    "manifest": Codec(models.decode_manifest, models.encode_manifest),
    "words_request": Codec(words.decode_request, lambda request: words.encode_request(request.texts)),
    "word_vectors": Codec(words.decode_answer, words.encode_answer),
    "live_subscribe": _of_json("live_subscribe"),
    "live_recommendations": _of_json("live_recommendations"),
    "live_error": _of_json("live_error"),
    "live_ping": _of_json("live_ping"),
    "live_pong": _of_json("live_pong"),
}


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What a version is. `commit` is the one whose code wrote the messages, or that this was based on.

    `readers_first` names the messages of which readers of the version before refuse some: whoever reads
    them is updated before who writes them.
    """

    what: str
    date: str
    commit: str
    readers_first: tuple[str, ...]


@dataclass(frozen=True)
class Version:
    """One version's folder. Names sort as the versions came: 01-live-loop, 02-…"""

    folder: Path

    @property
    def name(self) -> str:
        """Number and name."""
        return self.folder.name

    @cached_property
    def about(self) -> About:
        """What it is."""
        return msgspec.json.decode((self.folder / ABOUT).read_bytes(), type=About)

    @cached_property
    def schemas(self) -> Mapping[str, Schema]:
        """Message → what its JSON Schema demanded, as `demands` writes it."""
        found: dict[str, Schema] = msgspec.json.decode((self.folder / SCHEMAS).read_bytes())
        return found

    @property
    def files(self) -> list[Path]:
        """A file a message, `event.search.json` or `session.empty.msgpack`, with headers among them."""
        others = {self.folder / ABOUT, self.folder / SCHEMAS}
        return sorted(
            path
            for path in self.folder.iterdir()
            if path.suffix in {".json", ".msgpack"} and path not in others and not path.match(f"*{MEANING}")
        )


def message_of(path: Path) -> str:
    """The kind of message in a file."""
    return path.name.split(".", 1)[0]


def meaning_beside(path: Path) -> object:
    """What a message is to say: a JSON message itself, for a binary one the JSON beside it."""
    return msgspec.json.decode((path if path.suffix == ".json" else path.with_suffix(MEANING)).read_bytes())


def versions(folder: Path = FOLDER) -> list[Version]:
    """All released versions, oldest first."""
    return [Version(path) for path in sorted(folder.glob("[0-9]*"))] if folder.is_dir() else []


def meaning(message: object) -> object:
    """What a decoded message says, as JSON: names where the wire has places and numbers, bytes as base64."""
    if isinstance(message, Session):
        return _of_session(message)
    return msgspec.json.decode(msgspec.json.encode(message))


def _of_session(session: Session) -> dict[str, Any]:
    return {
        "visitor_id": session.visitor_id,
        "events": [
            [each.occurred_at, each.identity.hex(), each.product_id, each.type] for each in session.events
        ],
        "layout": session.layout,
        "vector": b64encode(session.vector).decode(),
        "interests": [
            {
                "category": each.category,
                "weight": each.weight,
                "vector": b64encode(each.vector).decode(),
                "event": each.event,
            }
            for each in session.interests
        ],
        "missing": list(session.missing),
        "purchases": {str(digest): at for digest, at in session.purchases.items()},
        "searches": [[each.occurred_at, each.identity.hex(), each.words] for each in session.searches],
        "shown": {str(digest): [*each] for digest, each in session.shown_products.items()},
    }


def find_losses(expected: object, found: object, path: str = "$") -> Iterator[str]:
    """Where `found` does not say what was expected. It may say more, and leave out what was null."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for name, value in expected.items():
            yield from find_losses(value, found.get(name), f"{path}.{name}")
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for index, pair in enumerate(zip(expected, found, strict=True)):
            yield from find_losses(*pair, f"{path}[{index}]")
    elif expected != found:
        yield f"{path} was {expected!r} and is read as {found!r}"


def today() -> dict[str, Schema]:
    """Message → what its JSON Schema demands now."""
    found = {name: demands(json_schema(message)) for name, message in MESSAGES.items()}
    return msgspec.json.decode(msgspec.json.encode(found), type=dict[str, Schema])  # defaults may be tuples


def demands(schema: Schema) -> Schema:
    """A JSON Schema without its words for people: what is left differs only when the messages do."""
    kept: Schema = {}
    for keyword, value in schema.items():
        if keyword in {"properties", "$defs"}:
            kept[keyword] = {name: demands(each) for name, each in value.items()}
        elif isinstance(value, list):
            kept[keyword] = [demands(each) if isinstance(each, dict) else each for each in value]
        elif keyword not in {"title", "description"}:
            kept[keyword] = demands(value) if isinstance(value, dict) and keyword != "default" else value
    return kept


def unreadable(version: Version, now: Mapping[str, Schema]) -> list[str]:
    """In what readers of `now` refuse or drop what that version wrote, but for what is migrated."""
    return [
        f"{version.name}, {name}: {change}"
        for name, schema in version.schemas.items()
        if (version.name, name) not in MIGRATED
        for change in (breaking_changes(schema, now[name]) if name in now else ["is no longer a message"])
    ]


def find_refusals(readers: Mapping[str, Schema], writers: Mapping[str, Schema]) -> dict[str, list[str]]:
    """Message → what `readers` refuse of what `writers` may write, for a rolling update.

    Fields that are new to the readers are none of it: they pass them over.
    """
    found = {
        name: [each for each in breaking_changes(schema, readers[name]) if not each.endswith(" was removed")]
        for name, schema in writers.items()
        if name in readers
    }
    return {name: changes for name, changes in found.items() if changes}
