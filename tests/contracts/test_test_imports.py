"""Tests share what lies in tests/support, and nothing else: each can be read and moved without another."""

import ast
from pathlib import Path

from infra.stack.broker import ROOT
from infra.structure import statements

TESTS = ROOT / "tests"
SHARED = (TESTS / "support", TESTS / "benchmark")


def is_test(path: Path) -> bool:
    return path.name.startswith("test_") or path.name == "conftest.py"


def modules_of_ours(path: Path) -> set[str]:
    """The modules below tests/ that a file imports, however it says so."""
    found: set[str] = set()
    for node in statements(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports by dots"
            found |= {node.module or "", *(f"{node.module}.{each.name}" for each in node.names)}
    return {each for each in found if each.startswith("tests.") and is_module(each)}


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


FILES = sorted(TESTS.rglob("*.py"))


def test_only_tests_lie_outside_of_what_is_shared() -> None:
    others = [each for each in FILES if not any(each.is_relative_to(folder) for folder in SHARED)]
    assert [each for each in others if not is_test(each) and each.name != "__init__.py"] == []
    shared = [each for each in FILES if any(each.is_relative_to(folder) for folder in SHARED)]
    assert [each for each in shared if is_test(each)] == []


def test_no_module_imports_a_test_or_a_conftest() -> None:
    found = {
        f"{path.relative_to(TESTS)}: {name}"
        for path in FILES
        for name in modules_of_ours(path)
        if not name.startswith(("tests.support", "tests.benchmark"))
    }
    assert found == set(), "what tests share lies in tests/support"
