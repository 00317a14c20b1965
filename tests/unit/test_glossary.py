"""infra/docs/glossary.md against the code: what it names is there, and no former word names anything."""

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from infra.structure import functions_of, is_gerund, is_participle, statements

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "infra" / "docs" / "glossary.md").read_text()
CODE = ("services", "schemas")

PATHS = re.findall(r"`([\w/]+(?:\.py|/))`", TEXT)
FORMER = set(re.findall(r"\w+", TEXT.rpartition("in its name:")[2]))


@cache
def parse(folder: str) -> dict[Path, ast.Module]:
    """All modules below the folder, read once."""
    paths = sorted((ROOT / folder).rglob("*.py"))
    return {path.relative_to(ROOT): ast.parse(path.read_text()) for path in paths}


@pytest.fixture(scope="module")
def modules() -> dict[Path, ast.Module]:
    """All of the code."""
    return {path: tree for folder in CODE for path, tree in parse(folder).items()}


def names(modules: Mapping[Path, ast.Module]) -> Iterator[tuple[Path, str]]:
    """Where each class and module is, and its name."""
    for path, tree in modules.items():
        yield path, path.stem
        for node in statements(tree):
            if isinstance(node, ast.ClassDef):
                yield path, node.name


def words_of(name: str) -> set[str]:
    """`PriceBounds` → price, bounds; `topic_feeds` → topic, feeds."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)}


@pytest.mark.parametrize("path", PATHS)
def test_where_the_glossary_says_that_a_term_lives_there_is_something(path: str) -> None:
    assert (ROOT / path).exists()


def test_no_class_and_no_module_is_named_by_a_former_word(modules: Mapping[Path, ast.Module]) -> None:
    assert len(FORMER) > 40
    found = list(names(modules))
    assert (Path("services/clock.py"), "clock") in found
    assert [(place, name) for place, name in found if words_of(name) & FORMER] == []


def test_a_former_word_would_be_noticed() -> None:
    assert words_of("TimedBook") & FORMER == {"book"}
    assert words_of("row_maker") & FORMER == {"maker"}


@pytest.mark.parametrize("folder", [*CODE, "tests"])
def test_modules_are_nouns_and_functions_verbs(folder: str) -> None:
    modules = parse(folder)
    assert [path for path in modules if is_gerund(path.stem)] == []
    functions = [(path, name) for path, tree in modules.items() for name in functions_of(tree)]
    assert len(functions) > 100
    assert [found for found in functions if is_participle(found[1])] == []


def test_it_stays_a_page() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| ")]
    assert len(rows) <= 25 + 1  # and the head
