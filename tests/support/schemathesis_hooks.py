"""What schemathesis imports in its own process: counts in counts.json how each operation was answered.

Its reports hold every request and answer, 30 MB of which a test wants twenty counts.
"""

import atexit
import gc
import json
from collections import Counter
from pathlib import Path
from typing import Any

import schemathesis
from schemathesis import Case, HookContext, Response

gc.freeze()  # what was imported stays
gc.set_threshold(50_000, 20, 50)  # a sixth of its CPU time, at a few MB more

_counts: Counter[tuple[str, int]] = Counter()


@schemathesis.hook
def after_call(context: HookContext, case: Case[Any], response: Response) -> None:
    """One answer of an operation; methods that it does not have are none of its own."""
    if case.operation.label.startswith(f"{case.method} "):
        _counts[case.operation.label, response.status_code] += 1


@atexit.register
def write_counts() -> None:
    """A list of [operation, status, how often]."""
    Path("counts.json").write_text(json.dumps([[*key, count] for key, count in _counts.items()]))
