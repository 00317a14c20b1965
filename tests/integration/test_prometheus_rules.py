"""Rules by promtool, dashboards by Grafana's own types: an alarm rings for what it is for, and alone."""

from copy import deepcopy

import pytest

from infra.alarms import alarms
from infra.deploy_check import Skipped, watching
from infra.watching.files import DASHBOARDS
from infra.watching.panels import Json
from infra.watching.trials import TRIALS
from tests.support.machine import skip_or_fail


def test_every_alarm_has_a_trial_in_which_it_rings() -> None:
    assert {name for trial in TRIALS for name in trial.firing} == {alarm.name for alarm in alarms()}


def test_promtool_finds_rules_configurations_and_trials_right() -> None:
    try:
        assert watching.check_rules() == []
    except Skipped as why:
        skip_or_fail(str(why))


@pytest.fixture(scope="module")
def models() -> dict[str, Json]:
    try:
        assert watching.check_dashboards() == []
    except Skipped as why:
        skip_or_fail(str(why))
    return {each.name: each.model() for each in DASHBOARDS}


def test_dashboards_are_what_grafana_reads(models: dict[str, Json]) -> None:
    """And what it would not read is seen."""
    wrong = deepcopy(models["click"])
    panel = next(each for each in wrong["panels"] if each["type"] == "timeseries")
    panel["options"]["tooltip"]["mode"] = "many"
    panel["fieldConfig"]["defaults"]["custom"]["drawStyle"] = "crayon"
    wrong["templating"]["list"][0]["surprise"] = 1
    [told] = watching.check_models({"click": wrong})
    for each in ('"many"', '"crayon"', "surprise"):
        assert each in told
