"""Workers that serve nothing, for tests of their parent."""

import os
import signal
import sys

BROKEN = 2
STATUS = 7


def work(_number: int) -> None:
    """Says its process id, and waits for SIGTERM."""
    print(os.getpid(), flush=True)
    signal.pause()


def break_down(number: int) -> None:
    """The second cannot start."""
    if number == BROKEN:
        sys.exit(STATUS)
    signal.pause()
