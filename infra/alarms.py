"""The alarms of infra/prometheus, as the runbook and its tests need them: names and anchors."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = ROOT / "infra" / "prometheus"
RUNBOOK: Final = "infra/docs/runbook.md"

# Metrics of others, by who has them: these need not be among ours.
OF_OTHERS: Final = {
    "up": "Prometheus",
    "node_filesystem_avail_bytes": "node_exporter",
    "node_timex_offset_seconds": "node_exporter",
}

_TEXT: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_SELECTOR: Final = re.compile(r"\b([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{([^}]*)\})?")
_MATCHER: Final = re.compile(r"([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)")
_GROUPING: Final = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
_DURATION: Final = re.compile(r"\[[^]]*\]")
_METRIC: Final = re.compile(r"^(?:eddy[_:]|node_|up$)")


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alerting rule; `anchor` is the section of the runbook that tells what to do."""

    name: str
    expression: str
    severity: str
    summary: str
    runbook: str
    group: str

    @property
    def anchor(self) -> str:
        """What follows the # in its runbook."""
        return self.runbook.partition("#")[2]

    @property
    def selectors(self) -> list[tuple[str, frozenset[str]]]:
        """The metrics in the expression, each with the labels that it is chosen by."""
        bare = _DURATION.sub("", _GROUPING.sub("", _TEXT.sub('""', self.expression)))
        return [
            (name, frozenset(label for label, _ in _MATCHER.findall(matchers)))
            for name, matchers in _SELECTOR.findall(bare)
            if _METRIC.match(name)
        ]

    @property
    def grouped_by(self) -> frozenset[str]:
        """The labels that the expression groups by."""
        groupings = _GROUPING.findall(_TEXT.sub("", self.expression))
        found = (label.strip() for labels in groupings for label in labels.split(","))
        return frozenset(label for label in found if label)


RULES: Final = (FOLDER / "alerts.yml", FOLDER / "slo.yml")


def recorded() -> dict[str, str]:
    """The series that rules record, and their expressions."""
    return {
        rule["record"]: rule["expr"] for group in _groups() for rule in group["rules"] if "record" in rule
    }


def _groups() -> list[dict[str, Any]]:
    return [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]


def alarms() -> tuple[Alarm, ...]:
    """All of them, in the files' order. Raises KeyError for a rule without severity, summary or runbook."""
    return tuple(
        Alarm(
            name=rule["alert"],
            expression=" ".join(str(rule["expr"]).split()),
            severity=rule["labels"]["severity"],
            summary=rule["annotations"]["summary"],
            runbook=rule["annotations"]["runbook"],
            group=group["name"],
        )
        for group in _groups()
        for rule in group["rules"]
        if "alert" in rule
    )


def anchors() -> tuple[str, ...]:
    """The sections that the runbook has to have, each once, in the order of the alarms."""
    return tuple(dict.fromkeys(alarm.anchor for alarm in alarms()))


def jobs(path: Path = FOLDER / "prometheus.yml") -> tuple[str, ...]:
    """The names under which Prometheus asks the services."""
    read: dict[str, Any] = yaml.safe_load(path.read_text())
    return tuple(each["job_name"] for each in read["scrape_configs"])
