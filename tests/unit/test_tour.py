"""infra/docs/tour.md names files and what is defined in them: both have to be there."""

import re
from pathlib import Path

import pytest

from schemas.topics import TOPICS

ROOT = Path(__file__).parents[2]
TOUR = ROOT / "infra" / "docs" / "tour.md"
PAGES = 2
WORDS_A_PAGE = 550

IS_PATH = re.compile(r"[\w/]+\.(?:py|js)")
IS_ENDPOINT = re.compile(r"(?:GET|POST|PUT|DELETE|WS) /\S*")
# Words of the protocols, which are values and not names of code.
VALUES = {"select_item", "seq", "command", "query", "report", "render", *(topic.name for topic in TOPICS)}


def places() -> list[tuple[str, str | None]]:
    """Each file of the tour with each name behind it."""
    found: list[tuple[str, str | None]] = []
    path: str | None = None
    for token in re.findall(r"`([^`]+)`", TOUR.read_text()):
        if IS_PATH.fullmatch(token):
            path = token
            found.append((token, None))
        elif token not in VALUES and not IS_ENDPOINT.fullmatch(token):
            assert path is not None, f"`{token}` stands before any path"
            found.append((path, token))
    return found


@pytest.mark.parametrize(("path", "name"), places())
def test_what_the_tour_names_is_there(path: str, name: str | None) -> None:
    file = ROOT / path
    assert file.is_file(), f"infra/docs/tour.md names {path}, which is not there"
    if name is not None:
        defined = rf"^\s*(?:export )?(?:async )?(?:def|class|function|const|let) {re.escape(name)}\b"
        assert re.search(defined, file.read_text(), re.MULTILINE), f"{path} defines no {name}"


def test_a_name_that_is_not_defined_is_noticed() -> None:
    with pytest.raises(AssertionError, match="defines no folded"):
        test_what_the_tour_names_is_there("services/model/session.py", "folded")


def test_the_tour_passes_all_stations_in_two_pages() -> None:
    text = TOUR.read_text()
    assert len(text.split()) <= PAGES * WORDS_A_PAGE
    stations = ["tracker.js", "ingest/events", "session_processor/processor", "recommender/state", "live.js"]
    places = [text.index(each) for each in stations]
    assert places == sorted(places)
