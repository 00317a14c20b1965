"""The chart's values, without Helm: documented, and held to what the code's settings and topics are."""

import re
import tomllib
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from infra.helm import settings as chart_settings
from infra.helm.__main__ import COPIES, FILES, ROOT, find_stale
from infra.helm.settings import CLASSES, COMPONENTS, OWN, SECRETS, free_settings, secret_variables, variable
from infra.helm.values import CHART, find_undocumented, read_keys, read_values, schema
from infra.reference import registries
from schemas.topics import TOPICS

TEMPLATES = {path.name: path.read_text() for path in CHART.glob("templates/**/*.*")}
ALL_CLASSES: tuple[type[BaseSettings], ...] = (*COMPONENTS.values(),)
KNOWN = {variable(name) for kind in ALL_CLASSES for name in kind.model_fields}


def test_what_is_generated_is_up_to_date() -> None:
    assert find_stale() == [], "python -m infra.helm"


def test_a_copy_that_differs_or_whose_source_is_gone_is_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    [*sources] = (path for patterns in COPIES.values() for each in patterns for path in ROOT.glob(each))
    assert sources, "nothing is copied at all"
    monkeypatch.setattr("infra.helm.__main__.COPIES", {"prometheus": ()})
    stale = {path.relative_to(FILES).as_posix() for path in find_stale()}
    assert "prometheus/alerts.yml" in stale


def test_every_value_is_documented() -> None:
    assert find_undocumented() == []
    assert [each.path for each in read_keys() if len(each.meaning) < 4] == []


def test_a_value_without_a_comment_is_found(tmp_path: Any) -> None:
    file = tmp_path / "values.yaml"
    file.write_text("# -- told\na: 1\nb:\n  # -- told\n  c: {d: 1}\n  # not told\n  e: []\n")
    assert find_undocumented(file) == ["b.e"]
    assert [(each.path, each.default, each.meaning) for each in read_keys(file)] == [
        ("a", 1, "told"),
        ("b.c", {"d": 1}, "told"),
    ]


def test_the_schema_knows_each_value_and_refuses_all_others() -> None:
    def look(value: Any, told: Any, path: str) -> None:
        if isinstance(value, dict) and "properties" in told:
            assert told["additionalProperties"] is False, path
            for name, each in value.items():
                look(each, told["properties"][name], f"{path}.{name}")
        else:
            assert told.keys() & {"type", "enum"}, path

    look(read_values(), schema(), "values")


@pytest.mark.parametrize("name", CLASSES)
def test_each_setting_of_a_service_can_be_set_and_in_one_place_only(name: str) -> None:
    kind = CLASSES[name]
    own = {variable(field) for field in kind.model_fields}
    free, secret = free_settings(kind).keys(), secret_variables(kind)
    assert own == free | secret | (OWN.keys() & own)
    assert not free & OWN.keys()
    assert secret <= SECRETS.keys(), "a secret may only come from a Secret"


def test_secrets_cannot_stand_in_values() -> None:
    told = schema()["properties"]
    for name in SECRETS:
        assert name not in told["settings"]["properties"]
        assert all(name not in told[each]["properties"]["settings"]["properties"] for each in CLASSES)
    assert not {each for each in SECRETS if each not in KNOWN}


def test_where_a_setting_or_a_secret_is_said_to_be_set_there_is_such_a_value() -> None:
    paths = {each.path for each in read_keys()}
    assert {path for path in (*OWN.values(), *SECRETS.values()) if path} <= paths


@pytest.mark.parametrize("file", sorted(TEMPLATES))
def test_every_setting_that_a_template_names_exists(file: str) -> None:
    assert set(re.findall(r"EDDY_[A-Z_]*[A-Z]", TEMPLATES[file])) <= KNOWN


@pytest.mark.parametrize("file", ["values.yaml", *(f"ci/{each.name}" for each in CHART.glob("ci/*.yaml"))])
def test_every_setting_that_values_name_exists(file: str) -> None:
    assert set(re.findall(r"EDDY_[A-Z_]*[A-Z]", (CHART / file).read_text())) <= KNOWN


def test_what_the_chart_sets_itself_is_set_by_its_templates() -> None:
    set_there = set(re.findall(r"^ *(EDDY_[A-Z_]+): ", TEMPLATES["_environment.tpl"], re.M))
    assert set_there <= OWN.keys() | SECRETS.keys()
    # These need no word: their default is right in a pod.
    silent = {
        "EDDY_RECOMMENDER_WORKER_PORT", "EDDY_SESSION_PROCESSOR_INSTANCE", "EDDY_EMBEDDER_INSTANCE"
    }  # fmt: skip
    assert OWN.keys() - set_there == silent


def test_topics_are_those_of_the_code() -> None:
    told = {each["name"]: each for each in yaml.safe_load((FILES / "topics.yaml").read_text())}
    assert told.keys() == {topic.name for topic in TOPICS}
    for topic in TOPICS:
        assert told[topic.name]["partitions"] == topic.partitions
        assert told[topic.name]["config"] == topic.config()
        assert told[topic.name]["durable"] == {"min.insync.replicas": "2"}


def test_autoscalers_ask_for_metrics_that_exist() -> None:
    known = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for registry in registries().values()
        for family in registry.collect()
    }
    named = set(re.findall(r"\beddy_[a-z_]+", TEMPLATES["autoscaling.yaml"]))
    assert len(named) >= 4
    assert named <= known


def test_the_chart_has_the_projects_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == project["version"]


def test_every_component_has_settings_of_its_own() -> None:
    assert set(COMPONENTS) == {
        "ingest", "recommender", "session-processor", "embedder", "trainer", "ops"
    }  # fmt: skip
    assert chart_settings.variable("stop_delay_s") == "EDDY_STOP_DELAY_S"
