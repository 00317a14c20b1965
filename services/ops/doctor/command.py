"""`doctor`."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from typing import Final

from confluent_kafka import KafkaException
from rich.text import Text

from services.cli import AsJson, exit_with_status
from services.clock import now_ms
from services.errors import CheckFailed
from services.ops import services
from services.ops.doctor import checks, matches
from services.ops.doctor.releases import releases
from services.ops.doctor.report import Finding, Report, State, unknown, worst
from services.ops.output import present, say
from services.ops.settings import OpsSettings, load_settings

Probe = Callable[[], Sequence[Finding]]


def look(probes: Mapping[str, Probe], within_s: float) -> list[Finding]:
    """What the probes found, in their order. One that raises, or is late, is a line of its own.

    A late one is left alone: its thread ends with the process.
    """
    done: SimpleQueue[tuple[str, Sequence[Finding]]] = SimpleQueue()
    for name, probe in probes.items():
        threading.Thread(
            target=lambda n=name, p=probe: done.put((n, _run(n, p))), name=name, daemon=True
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


def _run(name: str, probe: Probe) -> Sequence[Finding]:
    try:
        return probe()
    except KafkaException as error:
        reason = error.args[0].str()
    except Exception as error:  # noqa: BLE001 - whatever one check meets, the others are told
        reason = str(error) or type(error).__name__
    return [Finding(name, "bad", f"cannot be looked at: {reason}", "mend what is named, and look again")]


WITHIN_S: Final = 10.0


def examine(found: OpsSettings, work: Path, within_s: float = WITHIN_S) -> Report:
    """Everything, looked at; `work` is a folder for the time being."""
    at, began = now_ms(), time.monotonic()
    first = checks.broker(found)
    answers = first.state != "bad"

    def of_broker(name: str, probe: Probe) -> dict[str, Probe]:
        return {name: probe if answers else lambda: [unknown(name)]}

    probes: dict[str, Probe] = {
        **of_broker("topics", partial(checks.topic_list, found)),
        **of_broker("groups", partial(checks.groups, found)),
        **{name: partial(checks.service, found, name) for name in services.SERVICES},
        "releases": partial(releases, found, answers),
        **of_broker("index", partial(checks.index, found)),
        **of_broker("model", partial(checks.model, found, work)),
        **of_broker("dead letters", partial(checks.dead_letters, found)),
        **of_broker("products", partial(matches.products, found)),
        **of_broker("erasures", partial(checks.erasures, found)),
        "disk": partial(checks.room, found, answers),
        "clock": partial(checks.clocks, found, answers),
        "versions": checks.versions,
    }
    findings = (first, *look(probes, within_s - (time.monotonic() - began)))
    seconds = round(time.monotonic() - began, 2)
    return Report(int(at), seconds, worst(each.state for each in findings), findings)


STYLES: Final[dict[State, str]] = {"ok": "green", "warn": "yellow", "bad": "bold red"}


def doctor(as_json: AsJson = False) -> None:
    """Look at everything that Eddy needs, each with what was found and what to do.

    Broker, topics, consumer groups, services, releases, index, model, disk, clock, versions, dead letters,
    erasures, products that events and slots name: all at once, within 10 s, also when the broker is away.
    Nothing is changed. Ends with 1 when something is bad; what is only worth a look (warn) is no reason to.

    Example: python -m services.ops doctor --json
    """
    with exit_with_status(stopped="looking changes nothing"):
        found = load_settings()
        with TemporaryDirectory(prefix="eddy-doctor-", ignore_cleanup_errors=True) as work:
            report = examine(found, Path(work))
        present(report, _show, as_json=as_json)
        bad = [finding.check for finding in report.findings if finding.state == "bad"]
        if bad:
            raise CheckFailed(f"bad: {', '.join(dict.fromkeys(bad))}")


def _show(report: Report) -> None:
    show_findings(report.findings)
    say(Text(f"{report.state}, looked at in {report.seconds:.1f} s", STYLES[report.state]), wrap=True)


def show_findings(findings: Sequence[Finding]) -> None:
    """A line each, and under it what to do."""
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        line = Text(f"{finding.state:<4}", STYLES[finding.state])
        line.append(f"  {finding.check:<{width}}  {finding.found}", "default")
        say(line)
        if finding.what_to_do:
            say(Text(f"      {'':<{width}}  → {finding.what_to_do}"))
