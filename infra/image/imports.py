"""`python imports.py FOLDER`: imports whatever our code names and the image has, as too much may be left out.

Packages that are not in the image at all, such as torch in `eddy`, are passed over. Status 1: one is broken.
"""

import ast
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path


def name_modules(folder: Path) -> set[str]:
    """Every module that is imported anywhere, in functions, too, but ours and Python's own."""
    ours = {path.name for path in folder.iterdir()}
    found: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {each.name for each in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module)
    return {name for name in found if name.partition(".")[0] not in ours | sys.stdlib_module_names}


def main(folder: str) -> int:
    """The status of the process."""
    broken = 0
    for name in sorted(name_modules(Path(folder))):
        top = name.partition(".")[0]
        if top not in sys.modules and find_spec(top) is None:  # Faust, once there, has no spec
            continue
        try:
            import_module(name)
        except ImportError as why:
            print(f"{name} cannot be imported: {why}", file=sys.stderr)
            broken += 1
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
