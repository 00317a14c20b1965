"""Where the services spend their time: py-spy beside one window of load, and what was hottest in each."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

LEAST_SHARE: Final = 0.02
NOT_PYTHON: Final = frozenset({"kafka", "shop", "embedder"})


@contextmanager
def recording(pids: Mapping[str, int], seconds: int, folder: Path, rate: int) -> Iterator[None]:
    """Records while this lasts; stacks land in `profile-<rate>-<name>.raw`, a summary of each beside it."""
    spy = str(Path(sys.executable).parent / "py-spy")
    paths = {name: folder / f"profile-{rate}-{name}.raw" for name in pids if name not in NOT_PYTHON}
    recorders = [
        subprocess.Popen(
            [
                spy,
                "record",
                "-d",
                f"{seconds}",
                "-r",
                "200",
                "-f",
                "raw",
                "-o",
                f"{path}",
                "-p",
                f"{pids[name]}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for name, path in paths.items()
    ]
    try:
        yield
    finally:
        for recorder in recorders:
            recorder.wait(timeout=seconds + 60)
    for path in paths.values():
        path.with_suffix(".txt").write_text(summary(path.read_text()))


def summary(stacks: str) -> str:
    """Shares of the samples by function: alone (self) and with all that it calls (cumulative)."""
    alone, together = Counter[str](), Counter[str]()
    for line in stacks.splitlines():
        frames, _, count = line.rpartition(" ")
        names = frames.split(";")
        alone[names[-1]] += int(count)
        together.update(dict.fromkeys(names, int(count)))
    total = alone.total() or 1
    return "\n".join(
        f"{title}\n{_lines(counter, total)}\n"
        for title, counter in (("self", alone), ("cumulative", together))
    )


def _lines(counter: Counter[str], total: int) -> str:
    return "\n".join(
        f"{count / total:7.1%}  {name}"
        for name, count in counter.most_common()
        if count / total >= LEAST_SHARE
    )
