"""Memory and CPU time of the processes under load."""

import os
from collections.abc import Mapping
from time import perf_counter
from typing import Final

import psutil

GENERATOR: Final = "load generator"
MB: Final = 1_000_000


class Processes:
    """Processes by name; a process stands for itself and its children."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        processes[GENERATOR] = psutil.Process(os.getpid())
        # Looked for once: it means reading all of /proc, which the load generator's loop has no time for.
        self._families = {
            name: [each, *(each.children(recursive=True) if name != GENERATOR else ())]
            for name, each in processes.items()
        }

    def resident_mb(self) -> dict[str, float]:
        """Resident memory now, in MB."""
        return {
            name: round(sum(each.memory_info().rss for each in self._families[name]) / MB, 1)
            for name in self._families
        }

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds used so far, in user and system mode."""
        return {name: sum(cpu_s(each) for each in self._families[name]) for name in self._families}


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds that one process has used so far, in user and system mode."""
    times = process.cpu_times()
    return float(times.user + times.system)


class Stopwatch:
    """How many cores each process kept busy since the start."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._began = perf_counter()
        self._before = processes.cpu_s()

    def cores(self) -> dict[str, float]:
        """CPU time over wall time."""
        took = perf_counter() - self._began
        return {
            name: round((now - self._before[name]) / took, 3) for name, now in self._processes.cpu_s().items()
        }
