"""The code as it is laid out: its names are those of infra/docs/glossary.md, and no test needs another test.

All that reads the whole code is here, so that it is parsed once.
"""

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
TESTS = Path("tests")
SHARED = (TESTS / "support", TESTS / "benchmark")  # all else below tests/ is a test or a conftest

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


def is_shared(path: Path) -> bool:
    return any(path.is_relative_to(folder) for folder in SHARED)


def is_test(path: Path) -> bool:
    return path.name.startswith("test_") or path.name == "conftest.py"


def modules_of_tests(tree: ast.Module) -> Iterator[str]:
    """The modules below tests/ that a file imports, however it says so."""
    for node in statements(tree):
        yield from (name for name in list_imports(node) if name.startswith("tests.") and is_module(name))


def list_imports(node: ast.AST) -> list[str]:
    """What a statement may import: modules, and names in them that may be modules."""
    if isinstance(node, ast.Import):
        return [each.name for each in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{node.module} is imported by dots"
        return [node.module or "", *(f"{node.module}.{each.name}" for each in node.names)]
    return []


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def test_only_tests_lie_outside_of_what_is_shared() -> None:
    paths = list(parse("tests"))
    assert [
        path for path in paths if not is_shared(path) and not is_test(path) and path.name != "__init__.py"
    ] == []
    assert [path for path in paths if is_shared(path) and is_test(path)] == []


def test_no_module_imports_a_test_or_a_conftest() -> None:
    found = {(path, name) for path, tree in parse("tests").items() for name in modules_of_tests(tree)}
    assert len(found) > 100
    others = {each for each in found if not each[1].startswith(("tests.support", "tests.benchmark"))}
    assert others == set(), "what tests share lies in tests/support"


LOAD_TORCH = {"torch", "torchvision", "open_clip", "sentence_transformers"} | {
    f"services.embedder.models.{each}" for each in ("image", "text")
}


def test_no_test_loads_torch_where_it_is_only_collected() -> None:
    """Every worker of a run collects all of them: it would take each seven seconds and 300 MB."""
    found = {
        (str(path), name)
        for path, tree in parse("tests").items()
        if is_test(path)
        for node in tree.body
        for name in list_imports(node)
    }
    assert len(found) > 1000
    assert {each for each in found if each[1] in LOAD_TORCH} == set()
