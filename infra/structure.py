"""The structure of the code in figures: `python -m infra.structure [FOLDER]`.

Files, lines, the median, small files, private functions, comments, and names that are no nouns or verbs:
gerund modules (`telling`), participle functions (`made`).
"""

import argparse
import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

FOLDERS: Final = ("services", "schemas", "tests")
SMALL_LINES: Final = 60

# English participles that do not end in -ed; a function that is named by one says a state, not a deed.
IRREGULAR: Final = (
    "begun broken brought built caught chosen done drawn driven fallen fed felt forgotten found given gone "
    "grown heard held hidden kept known laid led left lent lost made meant met overtaken paid ridden said "
    "seen sent shown sold spent spoken stood stolen swapped taken taught thought told torn understood won "
    "worn written"
)
# Words in -ed and -ing that are verbs or nouns themselves.
VERBS: Final = "embed feed need seed speed shed bed breed proceed exceed succeed"
NOUNS: Final = (
    "learning string ping spelling pricing setting mapping embedding training logging heading meaning "
    "merchandising warning ranking rating timing recording thing king ring everything nothing"
)


@dataclass(frozen=True, slots=True)
class Structure:
    """What a folder of Python files comes to."""

    files: int
    lines: int
    median_lines: float
    small_files: int
    functions: int
    private_functions: int
    participles: tuple[str, ...]  # `module.function`
    gerunds: tuple[str, ...]  # modules
    comment_lines: int


def is_participle(name: str) -> bool:
    """Whether a function's name begins with a participle: `made`, `_asked_for`, `joined`."""
    word = name.strip("_").split("_")[0].lower()
    return word in IRREGULAR.split() or (word.endswith("ed") and word not in VERBS.split())


def is_gerund(name: str) -> bool:
    """Whether a module's name ends with a gerund: `telling`, `feeding`."""
    word = name.strip("_").rsplit("_", maxsplit=1)[-1].lower()
    return word.endswith("ing") and word not in NOUNS.split()


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Every statement, at whatever depth. Expressions, which hold none, are most of a tree: ast.walk goes
    through them too, and takes eight times as long."""
    for block in ("body", "orelse", "finalbody", "handlers", "cases"):
        for node in getattr(tree, block, ()):
            yield node
            yield from statements(node)


def functions_of(tree: ast.Module) -> Iterator[str]:
    """Names of all functions and methods but dunders and properties: a property is a noun or a state."""
    for node in statements(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            decorators = {each.id for each in node.decorator_list if isinstance(each, ast.Name)}
            if not re.fullmatch(r"__\w+__", node.name) and not decorators & {"property", "cached_property"}:
                yield node.name


def comment_lines(source: str) -> int:
    """Lines that are a comment or end with one."""
    return sum(
        token.type == tokenize.COMMENT for token in tokenize.generate_tokens(io.StringIO(source).readline)
    )


def measure(folder: Path) -> Structure:
    """The figures of all Python files below a folder; empty package markers are not counted."""
    lines: list[int] = []
    functions: list[tuple[str, str]] = []
    gerunds: list[str] = []
    comments = 0
    for path in sorted(folder.rglob("*.py")):
        source = path.read_text()
        if not source.strip() or path.name == "__init__.py":
            continue
        module = ".".join(path.relative_to(folder.parent).with_suffix("").parts)
        lines.append(len(source.splitlines()))
        comments += comment_lines(source)
        functions += ((module, name) for name in functions_of(ast.parse(source)))
        if is_gerund(path.stem):
            gerunds.append(module)
    return Structure(
        files=len(lines),
        lines=sum(lines),
        median_lines=median(lines),
        small_files=sum(each < SMALL_LINES for each in lines),
        functions=len(functions),
        private_functions=sum(name.startswith("_") for _, name in functions),
        participles=tuple(f"{module}.{name}" for module, name in functions if is_participle(name)),
        gerunds=tuple(gerunds),
        comment_lines=comments,
    )


def table(folder: Path, found: Structure) -> str:
    """One line of Markdown."""
    return (
        f"| {folder.name} | {found.files} | {found.lines:,} | {found.median_lines:.0f} "
        f"| {found.small_files / found.files:.0%} | {found.private_functions / found.functions:.0%} "
        f"| {found.comment_lines / found.lines:.1%} | {len(found.gerunds)} "
        f"| {len(found.participles)} ({len(found.participles) / found.functions:.1%}) |"
    )


def main() -> None:
    """Prints the table, and with --names what it counts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="*", type=Path, default=[Path(each) for each in FOLDERS])
    parser.add_argument("--names", action="store_true", help="list gerunds and participles")
    options = parser.parse_args()
    print("| | files | lines | file median | under 60 lines | private | comments | gerunds | participles |")
    print("|---|---|---|---|---|---|---|---|---|")
    for folder in options.folders:
        found = measure(folder)
        print(table(folder, found))
        if options.names:
            print("\n".join([*found.gerunds, *found.participles]))


if __name__ == "__main__":
    main()
