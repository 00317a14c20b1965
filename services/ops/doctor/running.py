"""Runs everything that is to be looked at side by side, and waits no longer than promised."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue

from confluent_kafka import KafkaException

from services.ops.doctor.findings import Finding

Probe = Callable[[], Sequence[Finding]]


def looked(probes: Mapping[str, Probe], within_s: float) -> list[Finding]:
    """What the probes found, in their order. One that raises, or is late, is a line of its own.

    A late one is left alone: its thread ends with the process.
    """
    done: SimpleQueue[tuple[str, Sequence[Finding]]] = SimpleQueue()
    for name, probe in probes.items():
        threading.Thread(
            target=lambda n=name, p=probe: done.put((n, _ran(n, p))), name=name, daemon=True
        ).start()
    deadline = time.monotonic() + within_s
    found: dict[str, Sequence[Finding]] = {}
    while len(found) < len(probes):
        try:
            name, findings = done.get(timeout=max(0.001, deadline - time.monotonic()))
        except Empty:
            break
        found[name] = findings
    late = "look at it by itself, when it is less busy"
    return [
        finding
        for name in probes
        for finding in found.get(name, [Finding(name, "bad", f"no answer within {within_s:.0f} s", late)])
    ]


def _ran(name: str, probe: Probe) -> Sequence[Finding]:
    try:
        return probe()
    except KafkaException as error:
        reason = error.args[0].str()
    except Exception as error:  # noqa: BLE001 - whatever one check meets, the others are told
        reason = str(error) or type(error).__name__
    return [Finding(name, "bad", f"cannot be looked at: {reason}", "mend what is named, and look again")]
