"""What counts as a breaking change of a message, and what does not."""

from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from schemas.compatibility import breaking_changes
from schemas.jsonschema import MESSAGES, json_schema

Fields = list[tuple[str, Any] | tuple[str, Any, Any]]

SHORT = Annotated[str, Meta(max_length=5)]
LONG = Annotated[str, Meta(max_length=9)]


class Inner(msgspec.Struct):
    """A struct within the message."""

    a: int


class Wider(msgspec.Struct):
    """Inner, with one more field."""

    a: int
    b: int | None = None


class Narrower(msgspec.Struct):
    """Inner, without its field."""

    b: int | None = None


def changes(old: Fields, new: Fields, *, array_like: bool = False) -> list[str]:
    """What the comparison says of two versions of one struct."""
    former = msgspec.defstruct("Message", old, array_like=array_like)
    present = msgspec.defstruct("Message", new, array_like=array_like)
    return breaking_changes(json_schema(former), json_schema(present))


@pytest.mark.parametrize("name", MESSAGES)
def test_a_schema_is_compatible_with_itself(name: str) -> None:
    assert breaking_changes(json_schema(MESSAGES[name]), json_schema(MESSAGES[name])) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ([("a", int)], [("a", int), ("b", int | None, None)]),
        ([("a", int)], [("a", int, 1)]),
        ([("a", int)], [("a", float)]),
        ([("a", int)], [("a", int | None, None)]),
        ([("a", int)], [("a", int | str)]),
        ([("a", SHORT)], [("a", LONG)]),
        ([("a", SHORT)], [("a", str)]),
        ([("a", Literal["x"])], [("a", Literal["x", "y"])]),
        ([("a", Literal["x"])], [("a", str)]),
        ([("a", Annotated[int, Meta(ge=1)])], [("a", Annotated[int, Meta(ge=0)])]),
        ([("a", list[int])], [("a", list[float])]),
        ([("a", dict[str, int])], [("a", dict[str, float])]),
        ([("a", Inner)], [("a", Wider)]),
        ([("a", Inner)], [("a", Inner | None)]),
    ],
)
def test_what_widens_is_allowed(old: Fields, new: Fields) -> None:
    assert changes(old, new) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ([("a", int), ("b", int, 0)], [("a", int)], "$.b was removed"),
        ([("a", int)], [("a", int), ("b", int)], "$.b became required"),
        ([("a", int, 0)], [("a", int)], "$.a became required"),
        ([("a", float)], [("a", int)], "$.a changed its type from number to integer"),
        ([("a", int | None)], [("a", int)], "$.a changed its type from null to integer"),
        ([("a", int | str)], [("a", int | None)], "$.a changed its type from string to"),
        ([("a", LONG)], [("a", SHORT)], "$.a has a lower maxLength, 5"),
        ([("a", LONG | None)], [("a", SHORT | None)], "$.a has a lower maxLength, 5"),
        ([("a", str)], [("a", SHORT)], "$.a has a lower maxLength, 5"),
        ([("a", int)], [("a", Annotated[int, Meta(ge=0)])], "$.a has a higher minimum, 0"),
        ([("a", str)], [("a", Annotated[str, Meta(pattern="^x")])], "$.a has another pattern, ^x"),
        ([("a", str)], [("a", bytes)], "$.a has another contentEncoding"),
        ([("a", Literal["x", "y"])], [("a", Literal["x"])], "$.a no longer allows 'y'"),
        ([("a", str)], [("a", Literal["x"])], "$.a was free and is now one of"),
        ([("a", list[float])], [("a", list[int])], "$.a[] changed its type"),
        ([("a", dict[str, float])], [("a", dict[str, int])], "$.a.* changed its type"),
        ([("a", list[Inner])], [("a", list[Narrower])], "$.a[].a was removed"),
        ([("a", Inner | None)], [("a", Narrower | None)], "$.a.a was removed"),
    ],
)
def test_what_narrows_is_named(old: Fields, new: Fields, said: str) -> None:
    assert any(change.startswith(said) for change in changes(old, new)), changes(old, new)


def test_an_arrays_places_are_its_fields() -> None:
    assert changes([("a", int)], [("a", int), ("b", str, "")], array_like=True) == []
    assert changes([("a", int), ("b", str, "")], [("a", int)], array_like=True) == ["$[1] was removed"]
    assert changes([("a", int)], [("a", int), ("b", str)], array_like=True) == ["$ has a higher minItems, 2"]
    assert changes([("a", int), ("b", str)], [("b", str), ("a", int)], array_like=True)


def test_a_struct_within_itself_is_walked_once() -> None:
    tree = {
        "$ref": "#/$defs/T",
        "$defs": {"T": {"type": "object", "properties": {"t": {"$ref": "#/$defs/T"}}}},
    }
    assert breaking_changes(tree, tree) == []
