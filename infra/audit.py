"""Known vulnerabilities of what is installed: `python -m infra.audit`, which `make audit` runs.

pip-audit asks PyPI (or OSV) about each package of requirements.lock, npm its registry about the SDKs that
tests send with; the storefront has no dependencies. What is known and does no harm here stands in
pyproject.toml, with the reason and a date up to which that holds: after it, it counts again.
"""

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from services.cli import exit_with_status
from services.errors import CheckFailed, OperationFailed

ROOT: Final = Path(__file__).resolve().parents[1]
LOCK: Final = ROOT / "requirements.lock"
PROJECT: Final = ROOT / "pyproject.toml"
NODE_LOCK: Final = ROOT / "tests" / "integration" / "segment"
NAMED: Final = 5
OUTPUT_MAX: Final = 500  # characters of what a tool says where it fails
WHERE_ELSE: Final = "run it where pypi.org itself answers, or with --osv where api.osv.dev does"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Ignored(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of pyproject.toml's [[tool.eddy.audit]]: why a vulnerability does no harm, and until when."""

    id: str
    reason: Annotated[str, msgspec.Meta(min_length=20)]
    until: date


@dataclass(frozen=True, slots=True)
class Known:
    """One vulnerability of one package. `ids`: its own and its aliases (CVE, GHSA, PYSEC)."""

    package: str
    ids: frozenset[str]
    fixed_in: tuple[str, ...]

    def __str__(self) -> str:
        remedy = f"fixed in {', '.join(self.fixed_in)}" if self.fixed_in else "no fix is known"
        return f"{self.package}: {', '.join(sorted(self.ids))}; {remedy}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a registry knows, and the packages about which it could not be asked."""

    asked: int
    known: tuple[Known, ...]
    unasked: tuple[str, ...]


def read_pip_audit(report: dict[str, Any]) -> Answer:
    """From the JSON that pip-audit prints."""
    packages = report["dependencies"]
    known = tuple(
        Known(
            f"{each['name']} {each['version']}",
            frozenset((found["id"], *found["aliases"])),
            tuple(found["fix_versions"]),
        )
        for each in packages
        for found in each.get("vulns", ())
    )
    unasked = tuple(each["name"] for each in packages if "skip_reason" in each)
    return Answer(len(packages) - len(unasked), known, unasked)


def read_npm_audit(report: dict[str, Any]) -> Answer:
    """From the JSON that `npm audit` prints. Raises OperationFailed where its registry did not answer."""
    if "vulnerabilities" not in report:
        told = report.get("message") or report.get("error", {}).get("summary") or "no answer"
        raise OperationFailed(
            f"npm's registry could not be asked: {str(told)[:OUTPUT_MAX]}. --python-only leaves it out"
        )
    known = tuple(
        Known(
            f"{name} {each['range']}",
            frozenset(str(via["url"]).rsplit("/", 1)[-1] for via in each["via"] if isinstance(via, dict)),
            (each["fixAvailable"]["version"],) if isinstance(each["fixAvailable"], dict) else (),
        )
        for name, each in report["vulnerabilities"].items()
        if any(
            isinstance(via, dict) for via in each["via"]
        )  # others only depend on one that has its own entry
    )
    return Answer(report["metadata"]["dependencies"]["total"], known, ())


def read_ignored(project: Path = PROJECT) -> list[Ignored]:
    """Those of pyproject.toml. Raises OperationFailed for an entry without id, reason or date."""
    found = tomllib.loads(project.read_text())["tool"].get("eddy", {}).get("audit", [])
    try:
        return msgspec.convert(found, list[Ignored])
    except msgspec.ValidationError as error:
        raise OperationFailed(f"{project.name}, [[tool.eddy.audit]]: {error}") from None


def judge(known: Iterable[Known], ignored: Sequence[Ignored], today: date) -> list[str]:
    """What is to be dealt with: what counts, and exceptions that have run out or that nothing needs."""
    found = list(known)
    in_force = {each.id for each in ignored if today <= each.until}
    problems = [str(each) for each in found if not each.ids & in_force]
    for each in ignored:
        if not any(each.id in vulnerability.ids for vulnerability in found):
            problems.append(f"{each.id} is ignored in pyproject.toml, and nothing has it: take it out")
        elif today > each.until:
            problems.append(f"{each.id} was ignored until {each.until}: look again whether it does harm")
    return problems


def require_answer(answers: Sequence[Answer]) -> None:
    """Raises OperationFailed where a package could not be asked about: silence is no good news."""
    unasked = [name for each in answers for name in each.unasked]
    if unasked or not any(each.asked for each in answers):
        more = f" and {len(unasked) - NAMED} more" if len(unasked) > NAMED else ""
        raise OperationFailed(
            f"nothing can be said: of {len(unasked)} packages the advisories could not be had "
            f"({', '.join(unasked[:NAMED])}{more}). A mirror of PyPI has none: {WHERE_ELSE}"
        )


def _run(command: Sequence[str], folder: Path, what_else: str) -> dict[str, Any]:
    """The JSON that a tool prints, whatever its status. Raises OperationFailed where it prints none."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    try:
        told: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise OperationFailed(
            f"nothing can be said: {''.join(last)[:OUTPUT_MAX] or 'no answer'}. What can be done: {what_else}"
        ) from None
    return told


@app.command()
def audit(
    osv: Annotated[bool, typer.Option("--osv", help="ask OSV instead of PyPI")] = False,
    osv_url: Annotated[str | None, typer.Option(help="where OSV's API answers")] = None,
    python_only: Annotated[bool, typer.Option("--python-only", help="leave npm's packages out")] = False,
    lock: Annotated[Path, typer.Option(help="what is audited")] = LOCK,
) -> None:
    """Ask for known vulnerabilities of every pinned package.

    Status 0: none but those that are ignored, with reasons. 1: some, or an exception that has run out. 2: who
    knows could not be asked.
    """
    with exit_with_status():
        ignored = read_ignored()
        command = [
            sys.executable,
            "-m",
            "pip_audit",
            "--requirement",
            str(lock),
            "--no-deps",
            "--disable-pip",
        ]
        command += ["--format", "json", "--progress-spinner", "off"]
        command += ["--vulnerability-service", "osv"] if osv or osv_url else []
        command += ["--osv-url", osv_url] if osv_url else []
        answers = [read_pip_audit(_run(command, ROOT, WHERE_ELSE))]
        require_answer(answers)
        if not python_only:
            told = _run(["npm", "audit", "--json", "--package-lock-only"], NODE_LOCK, "--python-only")
            answers.append(read_npm_audit(told))
        known = [each for answer in answers for each in answer.known]
        problems = judge(known, ignored, datetime.now(UTC).date())
        for problem in problems:
            typer.echo(problem)
        if problems:
            raise CheckFailed(f"{len(problems)} to be dealt with: update, or say in pyproject.toml why not")
        asked = sum(each.asked for each in answers)
        typer.echo(
            f"{asked} packages, no known vulnerability but {len(ignored)} that are ignored with reasons"
        )


if __name__ == "__main__":
    app(prog_name="python -m infra.audit")
