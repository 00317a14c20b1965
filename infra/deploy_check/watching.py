"""Dashboards by Grafana's own types, rules and configurations by Prometheus' own tools."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

from infra.alarms import FOLDER, ROOT, RULES
from infra.deploy_check import Skipped
from infra.watching.files import DASHBOARDS, TRIALS, contents

TYPES: Final = Path(__file__).with_name("grafana")  # its lock names @grafana/schema and the compiler
BUILD: Final = ROOT / "build" / "deploy_check" / "grafana"
CONFIGURATIONS: Final = ("prometheus.yml", "prometheus.compose.yml")
INSTALL: Final = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")

# A value of an enum of TypeScript is its text in JSON.
HEAD: Final = """\
import type { Dashboard, Panel, RowPanel, VariableModel, DashboardLink } from "@grafana/schema";
import type * as timeseries from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";
import type * as stat from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";

type Json<T> = T extends string ? `${T}` : T extends (infer Each)[] ? Json<Each>[] :
  T extends object ? { [Key in keyof T]: Json<T[Key]> } : T;
"""  # noqa: E501


def check() -> list[str]:
    """What is wrong with any of it. Raises Skipped where promtool or npm is missing."""
    return [*check_files(), *check_rules(), *check_dashboards()]


def check_files() -> list[str]:
    """Files that are not what the code makes of them."""
    return [
        f"{path.relative_to(ROOT)} is not what `python -m infra.watching` writes"
        for path, text in contents()
        if not path.exists() or path.read_text() != text
    ]


def check_rules() -> list[str]:
    """What promtool says of rules, configurations and trials, and amtool, where it is, of its example."""
    _require("promtool", "Debian: apt-get install prometheus")
    commands: list[tuple[str, ...]] = [("promtool", "check", "rules", *map(str, RULES))]
    commands += [("promtool", "check", "config", str(FOLDER / each)) for each in CONFIGURATIONS]
    commands.append(("promtool", "test", "rules", str(TRIALS)))
    if shutil.which("amtool"):  # of another package, and the file is an example
        commands.append(("amtool", "check-config", str(FOLDER / "alertmanager.yml")))
    return [problem for command in commands for problem in _run(command, ROOT)]


def check_dashboards() -> list[str]:
    """What TypeScript says of every dashboard as a value of Grafana's types."""
    _require("npm", "Debian: apt-get install npm")
    BUILD.mkdir(parents=True, exist_ok=True)
    installed = BUILD / "installed.json"
    lock = (TYPES / "package-lock.json").read_bytes()
    if not installed.exists() or installed.read_bytes() != lock:
        for file in TYPES.iterdir():
            shutil.copy(file, BUILD)
        if problems := _run(INSTALL, BUILD):
            raise Skipped(f"npm cannot install Grafana's types: {problems[0]}")
        installed.write_bytes(lock)
    models = {each.name: each.model() for each in DASHBOARDS}
    return check_models(models)


def check_models(models: dict[str, dict[str, Any]]) -> list[str]:
    """The same of any models, once the types are installed."""
    source = BUILD / "dashboards.ts"
    source.write_text(HEAD + "".join(_as_values(name, model) for name, model in models.items()))
    return _run((str(BUILD / "node_modules" / ".bin" / "tsc"), "--project", "tsconfig.json"), BUILD)


def _as_values(name: str, model: dict[str, Any]) -> str:
    """Values of TypeScript held against Grafana's types; what a kind of panel adds, against its own."""
    lines = [f"// {name}"]
    for panel in model["panels"]:
        if panel["type"] == "row":
            lines.append(_constant("RowPanel", panel))
            continue
        lines.append(_constant("Panel", panel))
        lines.append(_constant(f"{panel['type']}.Options", panel["options"]))
        if "custom" in panel["fieldConfig"]["defaults"]:
            custom = panel["fieldConfig"]["defaults"]["custom"]
            lines.append(_constant(f"{panel['type']}.FieldConfig", custom))
    lines += [_constant("VariableModel", each) for each in model["templating"]["list"]]
    lines += [_constant("DashboardLink", each) for each in model["links"]]
    lines.append(_constant("Dashboard", {name: value for name, value in model.items() if name != "panels"}))
    return "\n".join(lines) + "\n"


def _constant(kind: str, value: dict[str, Any]) -> str:
    return f"(({json.dumps(value)}) satisfies Json<{kind}>);"


def _require(program: str, advice: str) -> None:
    if shutil.which(program) is None:
        raise Skipped(f"{program} is missing ({advice})")


def _run(command: tuple[str, ...], folder: Path) -> list[str]:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return []
    said = (done.stdout + done.stderr).strip()[:4000]
    return [f"{' '.join(command[:3])}: {said}"]
