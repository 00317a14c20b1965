"""Keeping a version's messages, and telling what of them later code would not read."""

from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from infra import freeze
from infra.freeze import NotFrozen, folder_of
from schemas import released
from schemas.jsonschema import MESSAGES, json_schema
from schemas.released import SCHEMAS, Version, demands, find_losses, find_refusals, unreadable
from schemas.topics import SESSIONS
from services.files import PREFIX


def schema(name: str, *fields: Any, doc: str = "") -> dict[str, Any]:
    """What a message of these fields demands."""
    struct = msgspec.defstruct(name, fields, namespace={"__doc__": doc})
    return demands(json_schema(struct))


def test_a_message_may_say_more_than_it_did_and_leave_out_what_was_null() -> None:
    assert [
        *find_losses({"a": 1, "b": None, "c": [{"d": 2}]}, {"a": 1, "c": [{"d": 2, "e": 3}], "f": 4})
    ] == []


@pytest.mark.parametrize(
    ("found", "place"),
    [
        ({"a": 2, "c": [1, 2]}, "$.a"),
        ({"c": [1, 2]}, "$.a"),
        ({"a": 1, "c": [1]}, "$.c"),
        ({"a": 1, "c": [1, 3]}, "$.c[1]"),
        ({"a": 1, "c": {}}, "$.c"),
        ([], "$"),
    ],
)
def test_what_a_message_does_not_say_any_more_is_named_by_its_place(found: object, place: str) -> None:
    assert [each.split(" ")[0] for each in find_losses({"a": 1, "c": [1, 2]}, found)] == [place]


def test_other_words_about_a_message_demand_nothing_else() -> None:
    assert schema("M", ("a", int), doc="One.") == schema("M", ("a", int), doc="Another.")


def test_fields_called_like_words_about_a_schema_count() -> None:
    assert schema("M", ("description", str), ("title", str)) != schema("M", ("title", str))
    assert schema("M", ("title", str)) != schema("M", ("title", int))


def test_readers_refuse_values_that_are_new_to_them_and_pass_over_new_fields() -> None:
    old = {"m": schema("M", ("kind", Literal["a"])), "n": schema("N", ("a", int))}
    new = {
        "m": schema("M", ("kind", Literal["a", "b"])),
        "n": schema("N", ("a", int), ("b", int, 0)),
        "later": schema("L", ("a", int)),
    }
    assert find_refusals(readers=old, writers=new) == {"m": ["$.kind no longer allows 'b'"]}
    assert find_refusals(readers=new, writers=old) == {}


def test_a_field_that_writers_leave_out_is_refused_by_readers_who_need_it() -> None:
    old, new = {"m": schema("M", ("a", int))}, {"m": schema("M", ("a", int, 0))}
    assert find_refusals(readers=old, writers=new) == {"m": ["$.a became required"]}


def version(folder: Path, name: str, **schemas: dict[str, Any]) -> Version:
    """A version that is kept, with these schemas and no messages."""
    (folder / name).mkdir()
    (folder / name / SCHEMAS).write_bytes(freeze.lines(schemas))
    return Version(folder / name)


def test_what_could_not_be_read_any_more_is_told_with_version_and_message(tmp_path: Path) -> None:
    old = version(tmp_path, "01-first", event=schema("E", ("a", int)), gone=schema("G"))
    assert unreadable(old, {"event": schema("E", ("a", str))}) == [
        "01-first, event: $.a changed its type from integer to string",
        "01-first, gone: is no longer a message",
    ]


def test_what_is_migrated_is_no_problem(tmp_path: Path) -> None:
    old = version(tmp_path, "01-live-loop", session=schema("S", ("a", int)))
    assert unreadable(old, {"session": schema("S", ("a", str))}) == []


def test_a_new_version_gets_the_next_number(tmp_path: Path) -> None:
    assert folder_of("first", [], again=False, root=tmp_path).name == "01-first"
    known = [Version(tmp_path / "01-first"), Version(tmp_path / "09-ninth-of-all")]
    assert folder_of("tenth", known, again=False, root=tmp_path).name == "10-tenth"


def test_only_the_newest_version_is_written_again(tmp_path: Path) -> None:
    known = [Version(tmp_path / "01-first"), Version(tmp_path / "02-second-one")]
    assert folder_of("second-one", known, again=True) == tmp_path / "02-second-one"
    with pytest.raises(NotFrozen, match="only the newest version can be written again: 02-second-one"):
        folder_of("first", known, again=True)
    with pytest.raises(NotFrozen, match="first is frozen already"):
        folder_of("first", known, again=False)


@pytest.mark.parametrize("name", ["", "../up", "Capital", "1st", "a b", "-x"])
def test_a_name_that_would_be_no_folder_is_refused(name: str) -> None:
    with pytest.raises(NotFrozen, match="no name of a version"):
        folder_of(name, [], again=False)


def test_freezing_twice_writes_the_same_bytes_and_leaves_nothing_else(tmp_path: Path) -> None:
    frozen = freeze.freeze(tmp_path / "01-now", "what", "c0ffee", "2026-11-24")
    first = {path.name: path.read_bytes() for path in frozen.folder.iterdir()}
    (tmp_path / f"{PREFIX}half").mkdir()  # somebody was killed in the middle
    (tmp_path / f"{PREFIX}half" / "event.half.json").write_text("{")
    freeze.freeze(tmp_path / "01-now", "", "c0ffee", "2026-11-24")
    assert {path.name: path.read_bytes() for path in frozen.folder.iterdir()} == first
    assert [path.name for path in tmp_path.iterdir()] == ["01-now"]
    assert Version(frozen.folder).schemas == released.today()


def test_a_version_tells_which_readers_are_to_be_updated_first(tmp_path: Path) -> None:
    narrow = schema("M", ("slots", Literal["none"]))
    version(tmp_path, "01-first", **{**released.today(), "rule": narrow})
    with pytest.raises(NotFrozen, match=r"01-first, rule: \$\.slots changed its type"):
        freeze.freeze(tmp_path / "02-second", "", "", "")
    assert not (tmp_path / "02-second").exists()
    (tmp_path / "01-first" / SCHEMAS).write_bytes(freeze.lines({"event": _with_fewer_types()}))
    assert freeze.freeze(tmp_path / "02-second", "", "", "").about.readers_first == ("event",)


def _with_fewer_types() -> dict[str, Any]:
    """An event's demands, from before there were searches."""
    event = msgspec.json.decode(msgspec.json.encode(released.today()["event"]))
    event["$defs"]["Event"]["properties"]["type"]["enum"].remove("search")
    demanded: dict[str, Any] = event
    return demanded


@pytest.mark.parametrize("name", MESSAGES)
def test_every_message_has_readers_that_can_be_named(name: str) -> None:
    assert freeze.readers_of(name)


def test_readers_of_a_topic_are_those_of_its_list() -> None:
    assert freeze.readers_of("session") == ", ".join(SESSIONS.read_by)
