"""What a process must not load before it needs it: libraries of which each takes a large part of a second."""

import json
import subprocess
import sys
from typing import Final

HEAVY: Final = {
    "gensim", "lightgbm", "numba", "open_clip", "pandas", "pyarrow", "qdrant_client", "scipy.stats",
    "sentence_transformers", "sklearn", "torch", "torchvision", "transformers",
}  # fmt: skip
# In this order in one process; what the module may load. The recommender ranks by compiled code at once.
ALLOWED: Final[dict[str, set[str]]] = {
    "services.ingest.app": set(),
    "services.session_processor.app": set(),
    "services.embedder.app": set(),
    "services.ops.__main__": set(),
    "services.trainer.__main__": set(),
    "infra.stack.__main__": set(),
    "storefront.demo.app": set(),
    "services.recommender.app": {"numba"},
}
SCRIPT: Final = """
import importlib, json, sys
heavy, found = set(json.loads(sys.argv[1])), {}
for name in json.loads(sys.argv[2]):
    before = heavy & set(sys.modules)
    importlib.import_module(name)
    found[name] = sorted(heavy & set(sys.modules) - before)
print(json.dumps(found))
"""


def test_a_service_or_a_command_starts_without_what_it_may_never_need() -> None:
    arguments = (json.dumps(sorted(HEAVY)), json.dumps(list(ALLOWED)))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=True
    )
    loaded = {name: set(found) for name, found in json.loads(done.stdout).items()}
    assert loaded == ALLOWED
