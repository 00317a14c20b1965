"""`python -m infra.deploy_check [PART…]`: what is wrong with images, charts and dashboards; by default, all.

A part is a module beside this one with `check() -> list[str]`. It raises Skipped where this machine lacks
what the check needs, such as a Docker daemon; that is told, and is no failure. Status 1 where anything is
wrong.
"""

import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pkgutil import iter_modules

import infra.deploy_check
from infra.deploy_check import Skipped


def find_parts() -> list[str]:
    """The names of all parts, in alphabetical order."""
    found = [each.name for each in iter_modules(infra.deploy_check.__path__) if each.name != "__main__"]
    return sorted(name for name in found if hasattr(_load(name), "check"))


def run(parts: Sequence[str], checks: Callable[[str], Callable[[], list[str]]]) -> int:
    """Runs the parts one by one, and tells; the status of the process."""
    status = 0
    for part in parts:
        started = time.monotonic()
        try:
            problems = checks(part)()
        except Skipped as why:
            print(f"SKIPPED  {part}: {why}")
            continue
        status |= bool(problems)
        print(f"{'WRONG' if problems else 'fine'}     {part} ({time.monotonic() - started:.1f} s)")
        for problem in problems:
            print(f"  {problem}")
    return status


def _load(name: str) -> object:
    return import_module(f"{infra.deploy_check.__name__}.{name}")


def _check_of(name: str) -> Callable[[], list[str]]:
    check: Callable[[], list[str]] = _load(name).check  # type: ignore[attr-defined]
    return check


def main(arguments: Sequence[str]) -> int:
    """The status of the process."""
    known = find_parts()
    if unknown := sorted(set(arguments) - set(known)):
        print(f"no such part: {', '.join(unknown)}. Parts are {', '.join(known)}", file=sys.stderr)
        return 2
    return run(arguments or known, _check_of)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
