"""Everything that `doctor` looks at: the broker first, then all at once."""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from services.kafka import now_ms
from services.ops.doctor import answering, broker, clock, disk, health, models, versions
from services.ops.doctor.findings import Finding, Report, unknown, worst
from services.ops.doctor.index import index
from services.ops.doctor.running import Probe, looked
from services.ops.settings import OpsSettings

WITHIN_S: Final = 10.0


def examined(found: OpsSettings, work: Path, within_s: float = WITHIN_S) -> Report:
    """Everything, looked at; `work` is a folder for the time being."""
    at, began = now_ms(), time.monotonic()
    first = broker.broker(found)
    answers = first.state != "bad"
    probes = _probes(found, work, answers=answers)
    findings = (first, *looked(probes, within_s - (time.monotonic() - began)))
    seconds = round(time.monotonic() - began, 2)
    return Report(int(at), seconds, worst(each.state for each in findings), findings)


def _probes(found: OpsSettings, work: Path, *, answers: bool) -> dict[str, Probe]:
    of_broker: dict[str, Probe] = {
        "topics": partial(broker.topic_list, found),
        "groups": partial(broker.groups, found),
    }
    later: dict[str, Probe] = {
        "index": partial(index, found),
        "model": partial(models.model, found, work),
        "dead letters": partial(broker.dead_letters, found),
        "erasures": partial(broker.erasures, found),
    }
    if not answers:
        of_broker = {name: partial(_unknown, name) for name in of_broker}
        later = {name: partial(_unknown, name) for name in later}
    return {
        **of_broker,
        **{name: partial(answering.service, found, name) for name in health.SERVICES},
        **later,
        "disk": partial(disk.room, found, answers),
        "clock": partial(clock.clocks, found, answers),
        "versions": versions.versions,
    }


def _unknown(name: str) -> Sequence[Finding]:
    return [unknown(name)]
