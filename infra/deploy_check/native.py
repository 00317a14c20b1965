"""What images serve models by: compiled ahead of time here, and tested as numba's own is. A minute."""

import shutil
import subprocess
import sys
from tempfile import TemporaryDirectory
from typing import Final

from infra.deploy_check import Skipped
from infra.deploy_check.images import ROOT

# Tests of all that is compiled.
TESTS: Final = (
    "tests/unit/model/test_candidates.py",
    "tests/unit/model/test_co_visits.py",
    "tests/unit/model/test_leaf_masks.py",
    "tests/unit/recommender/test_diversity.py",
    "tests/unit/recommender/test_page_rows.py",
    "tests/unit/recommender/test_reasons.py",
    "tests/unit/recommender/test_rows.py",
    "tests/unit/recommender/test_rows_about_product.py",
    "tests/unit/trainer/test_forest.py",
)
RUN_TESTS: Final = """
import sys
import services.model
services.model.__path__.append(sys.argv[1])
import pytest
from services.model.compiled import NATIVE
assert NATIVE is not None, "nothing was compiled"
status = pytest.main(["-q", "-n0", "-p", "no:cacheprovider", *sys.argv[2:]])
sys.exit("numba was loaded" if "numba" in sys.modules else status)
"""


def check() -> list[str]:
    """Compiles into a folder of its own, and runs the tests there."""
    if not shutil.which("g++"):
        raise Skipped("no C++ compiler is here (Debian: apt-get install g++)")
    with TemporaryDirectory() as folder:
        for command in (
            ["-W", "ignore", "-m", "services.recommender.pipeline.native", "--out", folder],
            ["-c", RUN_TESTS, folder, *TESTS],
        ):
            done = subprocess.run(
                [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False
            )
            if done.returncode:
                return (done.stdout + done.stderr).splitlines()[-30:]
    return []
