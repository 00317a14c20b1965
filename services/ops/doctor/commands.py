"""`doctor`."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from rich.text import Text

from services.endings import AnswerIsNo
from services.ops.doctor.findings import Report, State
from services.ops.shell import AsJson, console, ending_clearly, print_json, settings

STYLES: Final[dict[State, str]] = {"ok": "green", "warn": "yellow", "bad": "bold red"}


def doctor(as_json: AsJson = False) -> None:
    """Look at everything that Eddy needs, each with what was found and what to do.

    Broker, topics, consumer groups, services, index, model, disk, clock, versions, dead letters, erasures:
    all at once, within 10 s, also when the broker is away. Nothing is changed. Ends with 1 when something is
    bad; what is only worth a look (warn) is no reason to.

    Example: python -m services.ops doctor --json
    """
    with ending_clearly(stopped="looking changes nothing"):
        from services.ops.doctor.examination import examined  # noqa: PLC0415 - qdrant-client: half a second

        found = settings()
        with TemporaryDirectory(prefix="eddy-doctor-", ignore_cleanup_errors=True) as work:
            report = examined(found, Path(work))
        if as_json:
            print_json(report)
        else:
            _show(report)
        bad = [finding.check for finding in report.findings if finding.state == "bad"]
        if bad:
            raise AnswerIsNo(f"bad: {', '.join(dict.fromkeys(bad))}")


def _show(report: Report) -> None:
    width = max(len(finding.check) for finding in report.findings)
    for finding in report.findings:
        line = Text(f"{finding.state:<4}", STYLES[finding.state])
        line.append(f"  {finding.check:<{width}}  {finding.found}", "default")
        console.print(line, soft_wrap=True)
        if finding.what_to_do:
            console.print(Text(f"      {'':<{width}}  → {finding.what_to_do}"), soft_wrap=True)
    console.print(Text(f"{report.state}, looked at in {report.seconds:.1f} s", STYLES[report.state]))
