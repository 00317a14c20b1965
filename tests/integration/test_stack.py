"""`make up` as people use it: twice is harmless, and what dies is started anew."""

import os
import signal
import subprocess
import sys

from tenacity import retry, stop_after_delay, wait_fixed

from infra.stack.broker import ROOT
from infra.stack.lifecycle import Stack, answers


def test_up_again_changes_no_process(stack: Stack) -> None:
    before = {name: stack.pid(name) for name in stack.ports}
    told: list[str] = []
    stack.up(lambda what, _seconds: told.append(what))
    assert {name: stack.pid(name) for name in stack.ports} == before
    assert told[-1] == "its products are embedded and searchable"


def test_a_killed_service_comes_back_by_itself(stack: Stack) -> None:
    before = stack.pid("shop")
    os.kill(before, signal.SIGKILL)

    @retry(stop=stop_after_delay(30), wait=wait_fixed(0.1), reraise=True)
    def back() -> None:
        assert stack.pid("shop") not in (0, before)
        assert answers(f"{stack.shop_url}/readyz")

    back()


def test_topics_check_finds_the_stack_as_listed(stack: Stack) -> None:
    command = [sys.executable, "-m", "services.ops", "topics", "check"]
    done = subprocess.run(
        command, env=stack.environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
