"""The Helm chart, checked without a cluster: linted, rendered for sets of values, all of it validated.

Kubernetes' own schemas come with the package kubernetes-validate, those of KEDA, prometheus-operator and
Gateway API as Go modules, fetched into Go's cache at the first check. Strimzi publishes its schema in no
registry: what a KafkaTopic may have is written down here.
"""

import copy
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from infra.deploy_check import Skipped
from infra.helm.__main__ import find_stale
from infra.helm.settings import COMPONENTS, variable
from infra.helm.values import find_undocumented

Json = Any

ROOT: Final = Path(__file__).resolve().parents[2]
CHART: Final = ROOT / "infra" / "helm" / "eddy"
TOOLS: Final = ROOT / "build" / "bin"  # `make deploy-tools`
KUBERNETES: Final = (
    "1.30",
    "1.37",
)  # the oldest that the chart takes, and the newest that schemas are there for
RELEASE: Final = "shop"
NAMESPACE: Final = "prod"

# Group of the custom resource → module of Go, and the file in it that has its schema.
SCHEMAS: Final[Mapping[tuple[str, str], tuple[str, str]]] = {
    ("keda.sh", "ScaledObject"): (
        "github.com/kedacore/keda/v2@v2.21.0",
        "config/crd/bases/keda.sh_scaledobjects.yaml",
    ),
    ("monitoring.coreos.com", "ServiceMonitor"): (
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
    ),
    ("monitoring.coreos.com", "PrometheusRule"): (
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    ),
    ("gateway.networking.k8s.io", "HTTPRoute"): (
        "sigs.k8s.io/gateway-api@v1.6.3",
        "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
    ),
}
KAFKA_TOPIC: Final = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "spec": {
            "type": "object",
            "additionalProperties": False,
            "required": ["partitions", "replicas"],
            "properties": {
                "topicName": {"type": "string", "pattern": "^[a-zA-Z0-9._-]{1,249}$"},
                "partitions": {"type": "integer", "minimum": 1},
                "replicas": {"type": "integer", "minimum": 1, "maximum": 32767},
                "config": {
                    "type": "object",
                    "additionalProperties": {"type": ["string", "integer", "boolean"]},
                },
            },
        }
    },
}

# What kube-score asks for and is not meant here, and why.
NOT_MEANT: Final = {
    "container-resources": "a limit of CPU makes a process late: only memory has one",
    "container-image-pull-policy": "a version's tag never changes: IfNotPresent, by a value",
    "container-ephemeral-storage-request-and-limit": "logs and a folder of temporary files",
    "deployment-has-host-podantiaffinity": "topologySpreadConstraints do the same",
    "statefulset-has-host-podantiaffinity": "topologySpreadConstraints do the same",
    "deployment-replicas": "one embedder is enough: while it is away products wait, and nothing else",
    "horizontalpodautoscaler-replicas": "the same",
}


def find_tool(name: str) -> str:
    """The path of helm or kube-score. Raises Skipped."""
    own = TOOLS / name
    found = str(own) if own.exists() else shutil.which(name)
    if found is None:
        raise Skipped(f"{name} is neither in build/bin nor in PATH: `make deploy-tools` builds it")
    return found


def value_sets(chart: Path = CHART) -> dict[str, Path]:
    """Name → file of values."""
    return {each.stem.removesuffix("-values"): each for each in sorted(chart.glob("ci/*-values.yaml"))}


def lint(chart: Path, values: Path) -> list[str]:
    """What `helm lint --strict` has against it."""
    done = _helm("lint", str(chart), "--strict", "--values", str(values))
    return [] if done.returncode == 0 else [f"helm lint, {values.stem}: {done.stdout}{done.stderr}".strip()]


def render(chart: Path, values: Path, *more: str) -> list[dict[str, Any]]:
    """The manifests. Raises ValueError with Helm's words where it refuses."""
    done = _helm("template", RELEASE, str(chart), "--namespace", NAMESPACE, "--values", str(values), *more)
    if done.returncode:
        raise ValueError(done.stderr.strip())
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def _helm(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [find_tool("helm"), command, *arguments, "--kube-version", f"{KUBERNETES[-1]}.0"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"HELM_CACHE_HOME": str(ROOT / "build" / "helm-cache")},
    )


def validate(manifest: Mapping[str, Any]) -> list[str]:
    """What the schema of its kind has against a manifest; unknown fields count."""
    group, kind = manifest["apiVersion"].rpartition("/")[0], manifest["kind"]
    name = f"{kind} {manifest['metadata']['name']}"
    if group == "kafka.strimzi.io":
        return _violations(name, KAFKA_TOPIC, manifest)
    if (group, kind) in SCHEMAS:
        return _violations(
            name, custom_schema(group, kind, manifest["apiVersion"].rpartition("/")[2]), manifest
        )
    try:
        import kubernetes_validate  # noqa: PLC0415 - 100 MB of schemas that only this check needs
    except ImportError:
        raise Skipped(
            "kubernetes-validate is not installed: `make setup` installs requirements.lock"
        ) from None
    found = []
    for version in KUBERNETES:
        try:
            kubernetes_validate.validate(dict(manifest), version, strict=True)
        except kubernetes_validate.ValidationError as error:
            found.append(f"{name}: Kubernetes {version}: {'.'.join(map(str, error.path))}: {error.message}")
        except kubernetes_validate.SchemaNotFoundError:
            found.append(f"{name}: Kubernetes {version} knows no {manifest['apiVersion']} {kind}")
    return found


def _violations(name: str, schema: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[str]:
    try:
        from jsonschema import Draft7Validator  # noqa: PLC0415 - comes with kubernetes-validate
    except ImportError:
        raise Skipped("jsonschema is not installed: `make setup` installs requirements.lock") from None
    found = Draft7Validator(schema).iter_errors(manifest)
    return [f"{name}: {'.'.join(map(str, each.absolute_path))}: {each.message}" for each in found]


@cache
def custom_schema(group: str, kind: str, version: str) -> Mapping[str, Any]:
    """The schema of a custom resource, closed: what is not in it is refused, as the API server prunes it."""
    crd = find_crd(group, kind)
    [found] = [each for each in crd["spec"]["versions"] if each["name"] == version]
    made: dict[str, Any] = _close(copy.deepcopy(found["schema"]["openAPIV3Schema"]))
    made["properties"]["metadata"] = {"type": "object"}
    return made


def find_crd(group: str, kind: str) -> Mapping[str, Any]:
    """The definition of a custom resource. Raises Skipped where Go cannot fetch it."""
    module, path = SCHEMAS[group, kind]
    crd: Mapping[str, Any] = yaml.safe_load((_module(module) / path).read_text())
    return crd


def _module(module: str) -> Path:
    go = shutil.which("go") or "/usr/local/go/bin/go"
    if not Path(go).exists():
        raise Skipped("go is not installed: the schemas of KEDA and its like come as Go modules")
    done = subprocess.run(
        [go, "mod", "download", "-json", module], capture_output=True, text=True, check=False
    )
    told = json.loads(done.stdout) if done.stdout.startswith("{") else {}
    if "Dir" not in told:
        raise Skipped(f"{module} cannot be fetched: {told.get('Error') or done.stderr.strip()}")
    return Path(told["Dir"])


def _close(schema: Json) -> Json:
    """Objects with named properties take no others, and `int-or-string` is what it says."""
    if isinstance(schema, list):
        return [_close(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    closed = {key: _close(value) for key, value in schema.items() if key != "format"}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        closed.setdefault("additionalProperties", False)
        if schema.get("x-kubernetes-preserve-unknown-fields"):
            closed["additionalProperties"] = True
    return closed


def score(manifests: list[dict[str, Any]]) -> list[str]:
    """What kube-score finds critical or worth a warning, but for NOT_MEANT."""
    ignored = [argument for test in NOT_MEANT for argument in ("--ignore-test", test)]
    done = subprocess.run(
        [find_tool("kube-score"), "score", "--output-format", "ci", *ignored, "-"],
        input=yaml.safe_dump_all(manifests),
        capture_output=True,
        text=True,
        check=False,
    )
    if not done.stdout and done.returncode:
        return [f"kube-score: {done.stderr.strip()}"]
    return [each for each in done.stdout.splitlines() if each.startswith(("[CRITICAL]", "[WARNING]"))]


def find_loose_ends(manifests: list[dict[str, Any]]) -> Iterator[str]:
    """References between the manifests that lead nowhere: no schema sees these."""
    workloads = {
        (each["kind"], each["metadata"]["name"]): each["spec"]["template"]["metadata"]["labels"]
        for each in manifests
        if each["kind"] in {"Deployment", "StatefulSet"}
    }
    services = {each["metadata"]["name"]: each["spec"] for each in manifests if each["kind"] == "Service"}
    for each in manifests:
        kind, name, spec = each["kind"], each["metadata"]["name"], each.get("spec", {})
        if kind in {"Service", "PodDisruptionBudget"}:
            selector = spec["selector"] if kind == "Service" else spec["selector"]["matchLabels"]
            if not any(selector.items() <= labels.items() for labels in workloads.values()):
                yield f"{kind} {name} selects no pod"
        if "scaleTargetRef" in spec:
            target = spec["scaleTargetRef"]
            if (target["kind"], target["name"]) not in workloads:
                yield f"{kind} {name} scales {target['kind']} {target['name']}, which is not there"
        if kind == "StatefulSet" and spec["serviceName"] not in services:
            yield f"StatefulSet {name} has no Service {spec['serviceName']}"
        for backend in _backends(each):
            if backend not in services:
                yield f"{kind} {name} leads to Service {backend}, which is not there"
    names = [(each["kind"], each["metadata"]["name"]) for each in manifests]
    yield from (f"{kind} {name} is there twice" for kind, name in set(names) if names.count((kind, name)) > 1)


def find_unknown_settings(manifests: list[dict[str, Any]]) -> Iterator[str]:
    """EDDY_ names that no service has: a pod would start, and nothing would tell."""
    known = {variable(name) for kind in COMPONENTS.values() for name in kind.model_fields}
    for manifest in manifests:
        for name in sorted(set(re.findall(r"'name': '(EDDY_\w+)'", str(manifest))) - known):
            yield f"{manifest['kind']} {manifest['metadata']['name']}: no service has {name}"


def _backends(manifest: Mapping[str, Any]) -> Iterator[str]:
    if manifest["kind"] == "Ingress":
        for rule in manifest["spec"]["rules"]:
            yield from (path["backend"]["service"]["name"] for path in rule["http"]["paths"])
    if manifest["kind"] == "HTTPRoute":
        for rule in manifest["spec"]["rules"]:
            yield from (each["name"] for each in rule["backendRefs"])


def examine(chart: Path, values: Path) -> list[str]:
    """All that is wrong with the chart under one set of values."""
    try:
        manifests = render(chart, values)
    except ValueError as error:
        return [f"{values.stem}: {error}"]
    wrong = lint(chart, values)
    for each in manifests:
        wrong += validate(each)
    wrong += find_loose_ends(manifests)
    wrong += find_unknown_settings(manifests)
    wrong += score(manifests)
    return [each if each.startswith("helm") else f"{values.stem}: {each}" for each in wrong]


def check() -> list[str]:
    """Everything that is wrong with the chart, in sentences. Raises Skipped where nothing is, so far."""
    wrong = [f"values.yaml: {path} has no comment that begins with `# --`" for path in find_undocumented()]
    wrong += [f"{path.relative_to(ROOT)} is stale: `python -m infra.helm` writes it" for path in find_stale()]
    try:
        for values in value_sets().values():
            wrong += examine(CHART, values)
    except Skipped as lack:
        if not wrong:
            raise
        wrong.append(str(lack))
    return wrong
