"""schemas/json holds the schemas of all messages, and a changed one still reads what was written."""

import msgspec
import pytest

from schemas import jsonschema
from schemas.jsonschema import FOLDER, MESSAGES, breaking, json_schema, text_of
from schemas.topics import TOPICS

UPDATE = "run `python -m schemas.jsonschema` and commit schemas/json"


@pytest.mark.parametrize("name", MESSAGES)
def test_a_change_of_a_message_is_backward_compatible(name: str) -> None:
    assert breaking(name) == []


@pytest.mark.parametrize("name", MESSAGES)
def test_the_file_is_up_to_date(name: str) -> None:
    assert (FOLDER / f"{name}.json").read_text() == text_of(json_schema(MESSAGES[name])), UPDATE


def test_there_is_no_file_without_a_message() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(MESSAGES)


def test_every_struct_named_by_a_topic_has_a_schema() -> None:
    structs = {struct.__name__ for struct in MESSAGES.values()}
    assert {topic.message for topic in TOPICS} - {"raw"} <= structs


def test_the_generator_writes_no_breaking_change(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pytest.TempPathFactory
) -> None:
    class Former(msgspec.Struct):
        """A message as it once was."""

        gone: str

    monkeypatch.setattr(jsonschema, "FOLDER", tmp_path)
    monkeypatch.setattr("sys.argv", ["jsonschema"])
    monkeypatch.setattr(jsonschema, "MESSAGES", {"event": Former})
    jsonschema.main()
    monkeypatch.setattr(jsonschema, "MESSAGES", {"event": MESSAGES["event"]})
    with pytest.raises(SystemExit, match=r"event: \$\.gone was removed"):
        jsonschema.main()
