"""The compose files: what our rules ask of every service, and what compose itself says, where it is there."""

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import SecretStr

from infra.compose_keys import NAMES
from infra.reference import SETTINGS

ROOT: Final = Path(__file__).resolve().parents[2]
INFRA: Final = ROOT / "infra"
# Each as it is started: files that stand on each other are merged.
FILES: Final = (("compose.yaml",), ("compose.yaml", "compose.cluster.yaml"))
OWN_IMAGES: Final = ("eddy", "eddy-embedder")
VARIABLE: Final = re.compile(r"\$\{(\w+)(?:(:?[-?])([^}]*))?\}")
REQUIRED: Final = re.compile(r"^\$\{\w+:\?[^}]*\}$")
TAG: Final = re.compile(r"^[\w./-]+:[\w.-]*\d+\.\d+[\w.-]*(@sha256:[0-9a-f]{64})?$")
CONDITIONS: Final = ("service_healthy", "service_completed_successfully", "service_started")


def check() -> list[str]:
    """Everything that is wrong, each as a sentence."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    problems = []
    for names in FILES:
        merged = merge([yaml.safe_load((INFRA / name).read_text()) for name in names])
        problems += [f"{names[-1]}: {each}" for each in compose_problems(merged, version)]
        problems += [f"{names[-1]}: {each}" for each in _parse([INFRA / name for name in names])]
    return problems


def merge(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Several files as compose reads them together: mappings are joined, what is no mapping is replaced."""
    merged: dict[str, Any] = {}
    for document in documents:
        merged = _join(merged, document)
    return merged


def _join(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    joined = dict(below)
    for key, value in above.items():
        there = joined.get(key)
        both = isinstance(value, Mapping) and isinstance(there, Mapping)
        joined[key] = _join(there, value) if both else value  # type: ignore[arg-type]
    return joined


def compose_problems(document: Mapping[str, Any], version: str) -> list[str]:
    """What is wrong with a compose file by our own rules; `version` is the project's."""
    services: Mapping[str, Mapping[str, Any]] = document.get("services") or {}
    problems = [] if services else ["it has no services"]
    for name, service in services.items():
        problems += [f"{name}: {each}" for each in _service_problems(service, services, version)]
    required = {found[1] for found in VARIABLE.finditer(yaml.safe_dump(dict(document))) if found[2] == ":?"}
    problems += [f"infra.compose_keys makes no {name}" for name in sorted(required - set(NAMES))]
    return problems


def _service_problems(
    service: Mapping[str, Any], services: Mapping[str, Mapping[str, Any]], version: str
) -> Iterator[str]:
    yield from _image_problems(str(service.get("image", "")), version)
    test = (service.get("healthcheck") or {}).get("test")
    if not test or test == "NONE" or "NONE" in test:
        yield "it has no health check"
    if service.get("read_only") is not True:
        yield "its root can be written to (read_only: true)"
    if service.get("cap_drop") != ["ALL"]:
        yield "it keeps capabilities (cap_drop: [ALL])"
    if "no-new-privileges:true" not in (service.get("security_opt") or []):
        yield "it may gain privileges (security_opt: no-new-privileges:true)"
    if "mem_limit" not in service:
        yield "it has no memory limit"
    yield from (
        f"port {port} is open to every network, not only to 127.0.0.1"
        for port in service.get("ports") or []
        if not str(port).startswith("127.0.0.1:")
    )
    for other, how in (service.get("depends_on") or {}).items():
        if other not in services:
            yield f"it waits for {other}, which does not exist"
        elif how.get("condition") not in CONDITIONS:
            yield f"it waits for {other} in a way that compose does not know: {how.get('condition')}"
    yield from _setting_problems(service.get("environment") or {})


def _image_problems(image: str, version: str) -> Iterator[str]:
    resolved = VARIABLE.sub(lambda found: found[3] or "" if found[2] == ":-" else "", image)
    if not TAG.match(resolved):
        yield f"its image {image!r} is not pinned by a version"
    name, _, tag = resolved.partition(":")
    if name in OWN_IMAGES and tag != version:
        yield f"its image is {resolved}, the project is {version}"


def _setting_problems(environment: Mapping[str, Any]) -> Iterator[str]:
    known = {
        f"{kind.model_config.get('env_prefix', '')}{field.upper()}": details
        for kind in SETTINGS.values()
        for field, details in kind.model_fields.items()
    }
    for name, value in environment.items():
        if not name.startswith("EDDY_"):
            continue
        if name not in known:
            yield f"{name} is no setting"
        elif SecretStr in _kinds(known[name].annotation) and not REQUIRED.match(str(value)):
            yield f"{name} is a key: it must be given (${{{name}:?…}}), not written here"


def _kinds(annotation: object) -> tuple[object, ...]:
    return getattr(annotation, "__args__", (annotation,))


def _parse(files: Sequence[Path]) -> list[str]:
    """What compose itself says to the files, with every key given."""
    command = compose_command()
    if command is None:
        print(
            "SKIPPED  neither docker compose nor docker-compose is here: no parser has read the compose files"
        )
        return []
    named = [part for path in files for part in ("-f", str(path))]
    keys = dict.fromkeys(NAMES, "a key for this check only")
    done = subprocess.run(
        [*command, *named, "config", "-q"],
        env=dict(os.environ) | keys,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr.splitlines() if done.returncode else []


def compose_command() -> list[str] | None:
    """How compose is called here: Docker's plugin, or the program of its own that Debian has."""
    docker = shutil.which("docker")
    if (
        docker
        and subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0
    ):
        return [docker, "compose"]
    own = shutil.which("docker-compose")
    return [own] if own else None
