"""infra/docs/glossary.md against the code: what it names is there, and no former word names anything."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.structure import measure

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "infra" / "docs" / "glossary.md").read_text()
CODE = ("services", "schemas")

PATHS = re.findall(r"`([\w/]+(?:\.py|/))`", TEXT)
FORMER = set(re.findall(r"\w+", TEXT.rpartition("in its name:")[2]))


def names() -> Iterator[tuple[str, str]]:
    """Where each class and module is, and its name."""
    for folder in CODE:
        for path in sorted((ROOT / folder).rglob("*.py")):
            place = str(path.relative_to(ROOT))
            yield place, path.stem
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    yield place, node.name


def words_of(name: str) -> set[str]:
    """`PriceBounds` → price, bounds; `topic_feeds` → topic, feeds."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)}


@pytest.mark.parametrize("path", PATHS)
def test_where_the_glossary_says_that_a_term_lives_there_is_something(path: str) -> None:
    assert (ROOT / path).exists()


def test_no_class_and_no_module_is_named_by_a_former_word() -> None:
    assert len(FORMER) > 40
    assert [(place, name) for place, name in names() if words_of(name) & FORMER] == []


def test_a_former_word_would_be_noticed() -> None:
    assert words_of("TimedBook") & FORMER == {"book"}
    assert words_of("row_maker") & FORMER == {"maker"}


def test_modules_are_nouns_and_functions_verbs() -> None:
    found = [measure(ROOT / folder) for folder in CODE]
    assert [module for each in found for module in each.gerunds] == []
    assert [name for each in found for name in each.participles] == []


def test_it_stays_a_page() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| ")]
    assert len(rows) <= 25 + 1  # and the head
