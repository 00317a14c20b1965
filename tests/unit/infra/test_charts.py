"""What Helm makes of the chart, and that the check fails on what is broken; it needs helm."""

import json
import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.deploy_check import Skipped, charts
from infra.deploy_check.charts import CHART, find_loose_ends, find_tool, render, value_sets
from infra.helm.settings import CLASSES, COMPONENTS, SECRETS, secret_variables, variable
from schemas.topics import TOPICS
from services.ingest.settings import IngestSettings
from services.recommender.settings import RecommenderSettings
from services.settings import HttpSettings

Manifest = dict[str, Any]
try:
    find_tool("helm")
except Skipped as missing:
    pytest.skip(str(missing), allow_module_level=True)

SETS = value_sets()


@cache
def manifests(name: str, *more: str) -> list[Manifest]:
    return render(CHART, SETS[name], *more)


def find(name: str, kind: str, suffix: str, *more: str) -> Manifest:
    [found] = [
        each
        for each in manifests(name, *more)
        if each["kind"] == kind and each["metadata"]["name"].endswith(suffix)
    ]
    return found


def pods(name: str, *more: str) -> dict[str, Manifest]:
    """Name of the workload → its pods' template."""
    found = {}
    for each in manifests(name, *more):
        spec = each.get("spec", {})
        if each["kind"] == "Pod":
            found[each["metadata"]["name"]] = each
        elif each["kind"] == "CronJob":
            found[each["metadata"]["name"]] = spec["jobTemplate"]["spec"]["template"]
        elif "template" in spec:
            found[each["metadata"]["name"]] = spec["template"]
    return found


def containers(pod: Manifest) -> list[Manifest]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def environment(pod: Manifest) -> dict[str, Any]:
    """Variable → its value, or where it comes from."""
    container = containers(pod)[0]
    names = [each["name"] for each in container["env"]]
    assert len(names) == len(set(names)), "set twice"
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


@pytest.mark.parametrize("name", SETS)
def test_no_reference_leads_nowhere(name: str) -> None:
    assert list(find_loose_ends(manifests(name))) == []
    assert list(charts.find_unknown_settings(manifests(name))) == []


@pytest.mark.parametrize("name", SETS)
def test_pods_may_do_nothing_that_they_need_not(name: str) -> None:
    assert len(pods(name)) >= 5
    for pod in pods(name).values():
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["automountServiceAccountToken"] is False
        # Kubernetes would set EDDY_INGEST_PORT=tcp://10.0.0.1:8001 for a Service called eddy-ingest.
        assert spec["enableServiceLinks"] is False
        for each in containers(pod):
            context = each["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["runAsUser"] == 10001
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}
            assert {"/var/lib/eddy", "/tmp"} <= {mount["mountPath"] for mount in each["volumeMounts"]}


@pytest.mark.parametrize("name", SETS)
def test_settings_are_what_the_services_take(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each service's own class reads what its pod sees; a secret is a text from a Secret."""
    for pod in pods(name).values():
        kind = COMPONENTS[pod["metadata"]["labels"]["app.kubernetes.io/component"]]
        with monkeypatch.context() as patch:
            for variable_, value in environment(pod).items():
                patch.setenv(variable_, value if isinstance(value, str) else "a secret of the tests")
            kind()


def test_services_have_the_secrets_that_they_read_and_no_others() -> None:
    for pod in pods("everything").values():
        component = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        given = {name for name, value in environment(pod).items() if isinstance(value, dict)}
        set_by_values = {each for each in secret_variables(COMPONENTS[component]) if SECRETS[each]}
        read = set_by_values | {"EDDY_KAFKA_USERNAME"}
        assert given <= read
        if component != "ops":  # commands of the chart need no key
            assert given == read, component


def test_a_large_number_stays_a_number_and_an_object_becomes_json() -> None:
    assert environment(pods("everything")["shop-eddy-trainer"])["EDDY_TRAINER_EVENTS_MAX"] == "20000000"
    seen = environment(pods("everything")["shop-eddy-recommender"])
    assert json.loads(seen["EDDY_SESSION_TYPE_WEIGHTS"]) == {"select_item": 0.4}


def test_a_services_setting_counts_more_than_that_of_all() -> None:
    assert environment(pods("everything")["shop-eddy-ingest"])["EDDY_STOP_DELAY_S"] == "10"
    assert environment(pods("everything")["shop-eddy-recommender"])["EDDY_STOP_DELAY_S"] == "4.5"


@pytest.mark.parametrize(("name", "delays"), [("minimal", (2, 2)), ("everything", (10, 5))])
def test_a_pod_is_killed_only_after_it_had_time_to_end(name: str, delays: tuple[int, int]) -> None:
    """preStop, EDDY_STOP_DELAY_S, 5 s for requests under way, and some more."""
    assert HttpSettings.model_fields["stop_delay_s"].default == 2
    for component, delay in zip(("ingest", "recommender"), delays, strict=True):
        spec = pods(name)[f"shop-eddy-{component}"]["spec"]
        pause = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pause == 5
        assert spec["terminationGracePeriodSeconds"] == pause + delay + 15


def test_probes_ask_what_the_services_answer() -> None:
    for name, port in {
        "ingest": 8001,
        "recommender": 8002,
        "session-processor": 8003,
        "embedder": 8004,
    }.items():
        [container] = containers(pods("minimal")[f"shop-eddy-{name}"])
        assert container["ports"] == [{"name": "http", "containerPort": port}]
        assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
        for probe in ("startupProbe", "livenessProbe"):
            assert container[probe]["httpGet"] == {"path": "/healthz", "port": "http"}
        patience = container["startupProbe"]["periodSeconds"] * container["startupProbe"]["failureThreshold"]
        assert patience == 120
    assert IngestSettings.model_fields["ingest_port"].default == 8001
    assert RecommenderSettings.model_fields["recommender_port"].default == 8002


def test_kafka_topics_are_those_of_the_code() -> None:
    found = {
        each["spec"]["topicName"]: each["spec"]
        for each in manifests("cluster")
        if each["kind"] == "KafkaTopic"
    }
    assert found.keys() == {topic.name for topic in TOPICS}
    for topic in TOPICS:
        spec = found[topic.name]
        assert spec["partitions"] == (16 if topic.name == "events" else topic.partitions)
        assert spec["replicas"] == 3
        assert spec["config"] == topic.config() | {"min.insync.replicas": "2"}
    assert not [each for each in manifests("cluster") if each["kind"] == "Job"]


def test_a_topic_of_a_tenant_has_a_name_that_kubernetes_takes() -> None:
    name = find("cluster", "KafkaTopic", "events", "--set", "topicPrefix=Shop_2.")
    assert name["metadata"]["name"] == "shop-2.events"
    assert name["spec"]["topicName"] == "Shop_2.events"


def test_without_strimzi_a_job_creates_the_topics_before_anything_starts() -> None:
    job = find("minimal", "Job", "-topics")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    [container] = containers(job["spec"]["template"])
    assert container["args"] == ["services.ops", "topics", "create", "--replication", "1"]
    # Nothing of the release is there yet.
    assert "serviceAccountName" not in job["spec"]["template"]["spec"]


def test_the_test_is_a_click() -> None:
    pod = find("minimal", "Pod", "-click")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    [container] = containers(pod)
    assert container["args"] == ["services.ops", "click", "--within", "30"]
    assert environment(pod)["EDDY_INGEST_URL"] == "http://shop-eddy-ingest:8001"
    assert environment(pod)["EDDY_RECOMMENDER_URL"] == "http://shop-eddy-recommender:8002"


def test_alarms_and_jobs_are_called_as_prometheus_knows_them() -> None:
    [rule] = [each for each in manifests("everything") if each["kind"] == "PrometheusRule"
              and each["metadata"]["name"].endswith("-alerts")]  # fmt: skip
    assert rule["spec"] == yaml.safe_load((charts.ROOT / "infra/prometheus/alerts.yml").read_text())
    monitor = find("everything", "ServiceMonitor", "shop-eddy")
    [endpoint] = monitor["spec"]["endpoints"]
    assert endpoint["relabelings"][0]["replacement"] == "eddy-$1"
    chosen = monitor["spec"]["selector"]["matchLabels"]
    asked = {
        each["metadata"]["labels"]["app.kubernetes.io/component"]
        for each in manifests("everything")
        if each["kind"] == "Service" and chosen.items() <= each["metadata"]["labels"].items()
    }
    assert asked == {"ingest", "recommender", "session-processor", "embedder"}


def test_dashboards_reach_grafana_as_they_are(tmp_path: Path) -> None:
    chart = tmp_path / "eddy"
    shutil.copytree(CHART, chart)
    shutil.rmtree(chart / "files" / "dashboards", ignore_errors=True)
    (chart / "files" / "dashboards").mkdir()
    text = '{"title": "Way of a click", "panels": [{"legendFormat": "{{instance}} {{ slot }}"}]}\n'
    (chart / "files" / "dashboards" / "the_click.json").write_text(text)
    [found] = [each for each in render(chart, SETS["everything"]) if each["kind"] == "ConfigMap"]
    assert found["metadata"]["name"] == "shop-eddy-dashboard-the-click"
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert found["metadata"]["annotations"] == {"grafana_folder": "Eddy"}
    assert found["data"] == {"the_click.json": text.strip()}


def test_a_group_is_given_time_to_rebalance_before_the_next_worker_joins() -> None:
    scaled = find("cluster", "ScaledObject", "-session-processor")["spec"]
    behavior = scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    [up], [down] = behavior["scaleUp"]["policies"], behavior["scaleDown"]["policies"]
    [trigger] = scaled["triggers"]
    window_s, missed_s, looks_s = 60, 10, 30  # the query's, EDDY_SESSION_TIMEOUT_S, of KEDA and Prometheus
    assert "[1m]" in trigger["metadata"]["query"]
    for pause_s in (up["periodSeconds"], behavior["scaleUp"]["stabilizationWindowSeconds"]):
        assert pause_s > window_s + missed_s + looks_s, "the lag of a rebalance is still in the query"
    assert down["value"] == 1
    assert trigger["metadata"]["threshold"] == "2"
    assert scaled["maxReplicaCount"] == 16


def test_nobody_talks_to_whom_the_flow_does_not_need() -> None:
    everybody = find("everything", "NetworkPolicy", "-eddy-all")["spec"]
    assert everybody["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in everybody
    callers = {}
    for component in ("ingest", "recommender", "session-processor", "embedder", "trainer", "ops"):
        policy = find("everything", "NetworkPolicy", f"-eddy-{component}")["spec"]
        callers[component] = {
            peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
            for rule in policy["ingress"]
            for peer in rule["from"]
            if "podSelector" in peer
        }
    assert callers == {
        "ingest": {"ops"}, "recommender": {"ops"}, "session-processor": {"ops"},
        "embedder": {"recommender", "ops"}, "trainer": set(), "ops": set(),
    }  # fmt: skip


def test_a_live_socket_has_no_limit_of_time() -> None:
    route = find("cluster", "HTTPRoute", "-recommender")["spec"]
    live, others = route["rules"]
    assert live["matches"] == [{"path": {"type": "PathPrefix", "value": "/v1/live"}}]
    assert live["timeouts"] == {"request": "0s", "backendRequest": "0s"}
    assert others["timeouts"]["request"] == "30s"
    annotations = find("everything", "Ingress", "shop-eddy")["metadata"]["annotations"]
    assert int(annotations["nginx.ingress.kubernetes.io/proxy-read-timeout"]) > 20, "pings come every 20 s"


def test_the_public_reaches_what_the_proxy_of_the_repository_lets_through() -> None:
    proxy = (charts.ROOT / "infra/proxy/nginx.conf").read_text()
    let_through = {
        path.strip("/") for path in re.findall(r"location (?:= )?(/\S+) \{ proxy_pass http://ingest", proxy)
    }
    rules = {each["host"]: each for each in find("everything", "Ingress", "shop-eddy")["spec"]["rules"]}
    paths = {each["path"].strip("/") for each in rules["ingest.example.com"]["http"]["paths"]}
    assert paths == let_through


def test_a_session_processor_that_an_autoscaler_stops_leaves_its_group() -> None:
    leaves = "EDDY_SESSION_PROCESSOR_LEAVES"
    assert environment(pods("cluster")["shop-eddy-session-processor"])[leaves] == "true"
    others = [each for name, each in pods("cluster").items() if "session-processor" not in name]
    assert not any(leaves in environment(each) for each in others)
    assert leaves not in environment(pods("minimal")["shop-eddy-session-processor"])
    said = ("--set", f"sessionProcessor.settings.{leaves}=false")
    assert environment(pods("cluster", *said)["shop-eddy-session-processor"])[leaves] == "false"


REFUSED = {
    "secrets.existingSecret": ["--set", "secrets.existingSecret="],
    "kafka.bootstrap": ["--set", "kafka.bootstrap="],
    "EDDY_LOG_LEVL": ["--set", "settings.EDDY_LOG_LEVL=DEBUG"],
    "EDDY_BRAND_MAX": ["--set", "ingest.settings.EDDY_BRAND_MAX=3"],  # a setting of another service
    "EDDY_DIVERSITY": ["--set", "recommender.settings.EDDY_DIVERSITY=2"],  # out of its bounds
    "EDDY_API_KEY": ["--set", "settings.EDDY_API_KEY=secret"],  # secrets never stand in values
    "EDDY_INGEST_PORT": ["--set", "ingest.settings.EDDY_INGEST_PORT=80"],  # the chart's own
    "replica": ["--set", "ingest.replica=3"],
    "8 partitions": ["--set", "sessionProcessor.replicas=9"],
    "modelStore": ["--set", "trainer.enabled=true"],
    "kafka.existingSecret": ["--set", "kafka.securityProtocol=SASL_SSL"],
    "prometheusUrl": ["--set", "keda.enabled=true,embedder.autoscaling.enabled=true"],
    "names of their own": [
        "--set", "ingress.enabled=true,ingress.ingestHost=a.example,ingress.recommenderHost=a.example",
    ],
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_values_that_make_no_sense_are_refused_by_name(what: str) -> None:
    with pytest.raises(ValueError, match=what.replace(".", r"\.")):
        render(CHART, SETS["minimal"], *REFUSED[what])


def test_every_settings_map_of_the_values_belongs_to_a_component() -> None:
    assert {variable(each) for each in ("log_level",)} == {"EDDY_LOG_LEVEL"}
    assert set(CLASSES) == {"ingest", "recommender", "sessionProcessor", "embedder", "trainer"}


@pytest.fixture
def break_chart(tmp_path: Path) -> Callable[[str, str, str], Path]:
    """A copy of the chart in which a text of a template is another."""

    def change(file: str, text: str, other: str) -> Path:
        copy = tmp_path / "eddy"
        shutil.copytree(CHART, copy)
        path = copy / "templates" / file
        assert text in path.read_text()
        path.write_text(path.read_text().replace(text, other, 1))
        return copy

    return change


Change = Callable[[str, str, str], Path]


def test_a_template_that_does_not_parse_is_a_problem(break_chart: Change) -> None:
    chart = break_chart("ingest.yaml", "{{- include", "{{- inclde")
    [problem] = charts.examine(chart, SETS["minimal"])
    assert "inclde" in problem


def test_a_service_that_selects_nobody_is_a_problem(break_chart: Change) -> None:
    chart = break_chart(
        "services.yaml",
        'eddy.selectorLabels" (list $root $component)',
        'eddy.selectorLabels" (list $root "x")',
    )
    assert "Service shop-eddy-ingest selects no pod" in list(find_loose_ends(render(chart, SETS["minimal"])))


def test_an_autoscaler_of_what_is_not_there_is_a_problem(break_chart: Change) -> None:
    chart = break_chart(
        "autoscaling.yaml", 'ternary "StatefulSet" "Deployment"', 'ternary "Deployment" "StatefulSet"'
    )
    wrong = list(find_loose_ends(render(chart, SETS["everything"])))
    assert any("scales" in each and "which is not there" in each for each in wrong)


def test_a_setting_that_no_service_has_is_a_problem(break_chart: Change) -> None:
    chart = break_chart("_environment.tpl", 'EDDY_RECOMMENDER_WORKERS: "1"', 'EDDY_RECOMMENDER_WORKER: "1"')
    wrong = list(charts.find_unknown_settings(render(chart, SETS["minimal"])))
    assert wrong == ["StatefulSet shop-eddy-recommender: no service has EDDY_RECOMMENDER_WORKER"]


@pytest.fixture
def validates() -> None:
    pytest.importorskip(
        "kubernetes_validate", reason="kubernetes-validate is not installed: it is in the group dev"
    )


@pytest.mark.usefixtures("validates")
@pytest.mark.parametrize(
    ("file", "text", "other", "problem"),
    [
        ("ingest.yaml", "revisionHistoryLimit: 3", "revisionHistorLimit: 3", "revisionHistorLimit"),
        ("ingest.yaml", "maxUnavailable: 0", "maxUnavailable: [0]", "maxUnavailable"),
        (
            "_pods.tpl",
            "readOnlyRootFilesystem: true",
            'readOnlyRootFilesystem: "yes"',
            "readOnlyRootFilesystem",
        ),
        ("_pods.tpl", "periodSeconds: 10", "periodSecond: 10", "periodSecond"),
        ("services.yaml", "unhealthyPodEvictionPolicy", "unhealthyPodEviction", "unhealthyPodEviction"),
    ],
)
def test_a_manifest_that_kubernetes_would_not_take_is_a_problem(
    break_chart: Change, file: str, text: str, other: str, problem: str
) -> None:
    chart = break_chart(file, text, other)
    changed = next(each for each in render(chart, SETS["minimal"]) if each not in manifests("minimal"))
    wrong = charts.validate(changed)  # the others are as before, and reading Kubernetes' schemas takes long
    assert wrong
    assert all(problem in each for each in wrong)


@pytest.mark.usefixtures("validates")
def test_manifests_are_as_kubernetes_takes_them() -> None:
    own = [
        each
        for name in SETS
        for each in manifests(name)
        if "." not in each["apiVersion"] or "k8s.io" in each["apiVersion"]
    ]
    own = [each for each in own if each["kind"] != "HTTPRoute"]
    assert {each["kind"] for each in own} >= {
        "Deployment", "StatefulSet", "CronJob", "Job", "Pod", "Service", "Ingress", "NetworkPolicy",
        "HorizontalPodAutoscaler", "PodDisruptionBudget", "ServiceAccount",
    }  # fmt: skip
    assert [problem for each in own for problem in charts.validate(each)] == []


@pytest.fixture
def custom(monkeypatch: pytest.MonkeyPatch, validates: None) -> None:
    """The schemas of others, where Go's cache has them: tests fetch nothing."""
    monkeypatch.setenv("GOPROXY", "off")
    try:
        for group, kind in charts.SCHEMAS:
            charts.find_crd(group, kind)
    except Skipped as missing:
        pytest.skip(f"run `make deploy-check` once: {missing}")


CUSTOM = {
    "ScaledObject": ("autoscaling.yaml", "minReplicaCount", "minReplicasCount"),
    "ServiceMonitor": ("watching.yaml", "targetLabel: job", "targetLable: job"),
    "HTTPRoute": ("public.yaml", "request: 0s", "request: never"),
    "KafkaTopic": ("topics.yaml", "partitions: {{", "partition: {{"),
}


@pytest.mark.usefixtures("custom")
def test_manifests_are_as_operators_take_them() -> None:
    found = [each for each in manifests("cluster") if each["kind"] in {*CUSTOM, "PrometheusRule"}]
    assert {each["kind"] for each in found} == {*CUSTOM, "PrometheusRule"}
    assert [problem for each in found for problem in charts.validate(each)] == []


@pytest.mark.usefixtures("custom")
@pytest.mark.parametrize("kind", CUSTOM)
def test_a_custom_resource_that_its_operator_would_not_take_is_a_problem(
    break_chart: Change, kind: str
) -> None:
    chart = break_chart(*CUSTOM[kind])
    wrong = [each for manifest in render(chart, SETS["cluster"]) if manifest["kind"] == kind
             for each in charts.validate(manifest)]  # fmt: skip
    assert wrong
    assert all(each.startswith(kind) for each in wrong)
