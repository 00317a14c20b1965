"""The dashboards' files are what the code makes of them, and each panel can be read without its maker."""

import json
import re
from itertools import combinations

import pytest

from infra.alarms import OF_OTHERS, ROOT, recorded
from infra.watching.files import DASHBOARD_FOLDER, DASHBOARDS, contents
from infra.watching.objectives import CLICK_BUDGET_S, STAGES
from infra.watching.panels import Dashboard, Json, Panel
from tests.support.metrics import SERIES
from tests.support.runbook import find_sections

NAMES = [each.name for each in DASHBOARDS]
PANELS = [(each.name, panel) for each in DASHBOARDS for panel in each.panels]
EXPRESSIONS = [(name, query.text) for name, panel in PANELS for query in panel.queries]
SECTIONS = {*find_sections()}


def test_files_are_those_that_the_code_makes_and_there_are_no_others() -> None:
    made = dict(contents())
    assert {path: path.read_text() for path in made} == made, "run python -m infra.watching"
    assert {*DASHBOARD_FOLDER.iterdir()} == {path for path in made if path.parent == DASHBOARD_FOLDER}


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=lambda each: getattr(each, "title", each))
def test_a_panel_says_what_it_shows_in_which_unit_and_where_to_read_on(name: str, panel: Panel) -> None:
    assert panel.description.endswith("."), name
    assert panel.unit
    assert panel.runbook is None or panel.runbook in SECTIONS
    assert [query.text for query in panel.queries]
    assert not panel.limits or [*panel.limits] == sorted(panel.limits)


@pytest.mark.parametrize(("name", "expression"), EXPRESSIONS)
def test_our_metrics_of_an_expression_are_declared_with_those_labels(name: str, expression: str) -> None:
    for metric, matchers in re.findall(r"\b(eddy[_:][\w:]+)(?:\{([^}]*)\})?", expression):
        assert metric in SERIES, f"{name}: {metric}"
        labels = {*re.findall(r"(\w+)(?==|!)", re.sub(r'"[^"]*"', '""', matchers))}
        assert labels <= SERIES[metric] | {"tenant", "instance"}, f"{name}: {metric}{{{labels}}}"


def test_what_a_dashboard_is_known_by_is_a_metric() -> None:
    known = {*SERIES, *recorded(), *OF_OTHERS, "kafka_controller_active_controller", "app_info"}
    families = {name.removesuffix("_bucket").removesuffix("_count") for name in known} | known
    assert {each.known_by for each in DASHBOARDS} <= families


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=NAMES)
def test_panels_lie_beside_each_other_and_have_numbers_of_their_own(dashboard: Dashboard) -> None:
    panels: list[Json] = dashboard.model()["panels"]
    assert len({each["id"] for each in panels}) == len(panels)
    for one, other in combinations([each["gridPos"] for each in panels], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)
    assert all(each["gridPos"]["x"] + each["gridPos"]["w"] <= 24 for each in panels)


def test_stages_together_stay_within_the_promise() -> None:
    """The first is part of the second, and the last is all of them."""
    _, folded, published, made, everything = (budget for _, budget, _ in STAGES.values())
    assert folded + published + made < everything == CLICK_BUDGET_S
    buckets = {name for name, _, _ in STAGES.values()}
    assert {f"{each}_bucket" for each in buckets} <= {*SERIES}


def test_every_page_of_grafana_is_told_of_in_the_docs() -> None:
    text = (ROOT / "infra" / "docs" / "operate.md").read_text()
    for each in DASHBOARDS:
        assert f"| {each.title} | {each.question} |" in text


def test_json_has_no_expression_with_a_placeholder_left() -> None:
    for path, text in contents():
        if path.suffix == ".json":
            for panel in json.loads(text)["panels"]:
                for target in panel.get("targets", []):
                    assert "@" not in target["expr"]
                    assert "{#}" not in target["expr"]
