"""The alarms are over metrics that exist, and each leads to a section of the runbook."""

import re

import pytest
import yaml

from infra.alarms import FOLDER, OF_OTHERS, RULES, RUNBOOK, Alarm, alarms, anchors, jobs
from infra.stack.programs import programs
from infra.stack.settings import StackSettings
from tests.support.metrics import SERIES

OF_PROMETHEUS = frozenset({"job", "instance"})
OF_ALL = OF_PROMETHEUS | {"tenant"}  # put on where /metrics is written
ALARMS = alarms()
NAMES = [alarm.name for alarm in ALARMS]


def unknown(alarm: Alarm, series: dict[str, frozenset[str]] = SERIES) -> list[str]:
    """What an alarm names that nobody has."""
    wrong = []
    of_all: set[str] = set(OF_ALL)
    for name, labels in alarm.selectors:
        if name in OF_OTHERS:
            continue
        if name not in series:
            wrong.append(name)
            continue
        of_all |= series[name]
        wrong += [f"{name}{{{label}}}" for label in sorted(labels - series[name] - OF_ALL)]
    return wrong + [f"by ({label})" for label in sorted(alarm.grouped_by - of_all)]


@pytest.mark.parametrize("alarm", ALARMS, ids=NAMES)
def test_an_alarm_is_over_metrics_and_labels_that_exist(alarm: Alarm) -> None:
    assert alarm.selectors, "no metric at all"
    assert unknown(alarm) == []


def alarm_of(expression: str) -> Alarm:
    return Alarm("A", expression, "page", "", f"{RUNBOOK}#a", "g")


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ("rate(eddy_ingest_events_acepted_total[5m]) > 0", ["eddy_ingest_events_acepted_total"]),
        ("eddy_ingest_events_accepted > 0", ["eddy_ingest_events_accepted"]),
        (
            'eddy_ingest_problems_total{code="503"} > 0',
            ["eddy_ingest_problems_total{code}"],
        ),
        (
            'sum by (reason) (eddy_ingest_problems_total{status="by (x)", job=~"eddy.+"})',
            ["by (reason)"],
        ),
        ("eddy_ingest_acknowledged_seconds > 1", ["eddy_ingest_acknowledged_seconds"]),
        ("sum by (le) (rate(eddy_ingest_acknowledged_seconds_bucket[5m])) unless eddy_x", ["eddy_x"]),
    ],
)
def test_a_metric_or_label_that_is_not_there_is_found(expression: str, wrong: list[str]) -> None:
    assert unknown(alarm_of(expression)) == wrong


@pytest.mark.parametrize("alarm", ALARMS, ids=NAMES)
def test_an_alarm_says_how_bad_it_is_what_is_wrong_and_where_to_read(alarm: Alarm) -> None:
    assert alarm.severity in {"page", "ticket"}
    assert len(alarm.summary) > 20
    assert re.fullmatch(re.escape(RUNBOOK) + r"#[a-z]+(-[a-z]+)*", alarm.runbook)


def test_names_are_there_once_and_anchors_in_the_order_of_the_alarms() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert set(anchors()) == {alarm.anchor for alarm in ALARMS}
    assert [alarm.anchor for alarm in ALARMS if alarm.anchor == "lag-growing"]
    assert anchors()[0] == ALARMS[0].anchor


def test_placeholders_of_a_summary_are_labels_that_its_expression_leaves() -> None:
    for alarm in ALARMS:
        named = set(re.findall(r"\$labels\.(\w+)", alarm.summary))
        if "sum" in alarm.expression:
            assert named <= alarm.grouped_by, alarm.name


def test_parentheses_and_quotes_are_closed() -> None:
    for alarm in ALARMS:
        for opening, closing in ("()", "[]", "{}"):
            assert alarm.expression.count(opening) == alarm.expression.count(closing), alarm.name
        assert alarm.expression.count('"') % 2 == 0, alarm.name


def test_prometheus_asks_every_service_at_its_port_and_reads_the_alarms() -> None:
    read = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    assert read["rule_files"] == [path.name for path in RULES]
    targets = {each["job_name"]: each["static_configs"][0]["targets"] for each in read["scrape_configs"]}
    services = ("ingest", "recommender", "session_processor", "embedder")
    for program in programs(StackSettings(_env_file=None)):
        if program.name in services:
            [port] = program.ports.values()
            assert targets[f"eddy-{program.name.replace('_', '-')}"] == [f"127.0.0.1:{port}"]
    assert len([job for job in jobs() if job.startswith("eddy-")]) == len(services)
