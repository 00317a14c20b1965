"""The images' Dockerfile and locks: hadolint, pinned bases, no root, health checks, hashes."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / "infra" / "image"
TARGETS: Final = ("eddy", "eddy-embedder")
HEAVY: Final = re.compile(r"^(torch|torchvision|triton|transformers|nvidia-.*|cuda-.*)$")
COMPILERS: Final = ("llvmlite", "numba")  # 176 MB
PINNED: Final = re.compile(r"^[\w./-]+:[\w.-]*\d[\w.-]*(@sha256:[0-9a-f]{64})?$")
LOCKED: Final = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)")


@dataclass(slots=True)
class Stage:
    """One FROM and what follows it."""

    name: str
    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)


def check() -> list[str]:
    """Everything that is wrong, each as a sentence."""
    dockerfile = (FOLDER / "Dockerfile").read_text()
    locks = {path.name: path.read_text() for path in FOLDER.glob("*.lock")}
    return [
        *_lint(FOLDER / "Dockerfile"),
        *dockerfile_problems(dockerfile),
        *lock_problems(
            (ROOT / "requirements.lock").read_text(), locks, (ROOT / "pyproject.toml").read_text()
        ),
        *ignore_problems((ROOT / ".dockerignore").read_text()),
    ]


def _lint(path: Path) -> list[str]:
    beside = Path(sys.executable).with_name("hadolint")
    hadolint = str(beside) if beside.exists() else shutil.which("hadolint")
    if hadolint is None:
        return ["hadolint is missing: make setup installs it"]
    done = subprocess.run([hadolint, "--no-color", str(path)], capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).splitlines() if done.returncode else []


def parse(text: str) -> tuple[dict[str, str], list[Stage]]:
    """The arguments before the first stage with their defaults, and the stages."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for line in lines.replace("\\\n", " ").splitlines():
        name, _, rest = line.strip().partition(" ")
        name, rest = name.upper(), " ".join(rest.split())
        if name == "FROM":
            base, _, alias = rest.partition(" AS ")
            stages.append(Stage(alias or base, base))
        elif stages and name:
            stages[-1].instructions.append((name, rest))
        elif name == "ARG":
            key, _, default = rest.partition("=")
            arguments[key] = default
    return arguments, stages


def dockerfile_problems(text: str) -> list[str]:
    """What a Dockerfile of ours must not have, or lacks."""
    arguments, stages = parse(text)
    named = {stage.name: stage for stage in stages}
    problems = [f"no target {target}" for target in TARGETS if target not in named]
    for stage in stages:
        base = re.sub(r"\$\{(\w+)\}", lambda found: arguments.get(found[1], ""), stage.base)
        if base not in named and base != "scratch" and not PINNED.match(base):
            problems.append(f"{stage.name}: its base {base!r} is not pinned by a version")
        problems += [
            f"{stage.name}: pip installs without --require-hashes: {rest[:60]}…"
            for name, rest in stage.instructions
            if name == "RUN" and "pip install" in rest and "--require-hashes" not in rest
        ]
    for target in TARGETS:
        if target in named:
            problems += _target_problems(target, list(_with_bases(named[target], named)))
    return problems


def _with_bases(stage: Stage, named: Mapping[str, Stage]) -> Iterator[tuple[str, str]]:
    """A target's instructions, those of the stages that it stands on first."""
    if stage.base in named and named[stage.base] is not stage:
        yield from _with_bases(named[stage.base], named)
    yield from stage.instructions


def _target_problems(target: str, instructions: Sequence[tuple[str, str]]) -> Iterator[str]:
    users = [rest for name, rest in instructions if name == "USER"]
    if not users or users[-1].partition(":")[0] in {"root", "0"}:
        yield f"{target}: it runs as root"
    checks = [rest for name, rest in instructions if name == "HEALTHCHECK"]
    if not checks or checks[-1].upper() == "NONE":
        yield f"{target}: it has no HEALTHCHECK"
    if ("ENTRYPOINT", '["python", "-m"]') not in instructions:
        yield f'{target}: its entry point is not ["python", "-m"]'


def lock_problems(everything: str, locks: Mapping[str, str], pyproject: str) -> list[str]:
    """What is wrong with the images' locks, beside the lock of all packages."""
    known = dict(packages(everything))
    problems = [f"requirements.lock: {name} has no hash" for name in without_hash(everything)]
    for file, text in sorted(locks.items()):
        own = dict(packages(text))
        problems += [f"{file}: {name} has no hash" for name in without_hash(text)]
        problems += [
            f"{file}: {name} is {version}, requirements.lock has {known[name]}: make lock"
            for name, version in own.items()
            if name in known and known[name] != version
        ]
    project = tomllib.loads(pyproject)["project"]
    extras = project["optional-dependencies"]
    for file, wanted in (
        ("eddy.lock", ("trainer", "s3", "demo")),
        ("embedder.lock", ("embedder",)),
        ("compiler.lock", ("compiler",)),
    ):
        own = dict(packages(locks.get(file, "")))
        runs = [] if file == "compiler.lock" else project["dependencies"]
        asked = [*runs, *(each for extra in wanted for each in extras[extra])]
        names = [normalise(re.split(r"[\[=<>~! ]", each)[0]) for each in asked]
        problems += [f"{file}: {name} is missing: make lock" for name in names if name not in own]
    heavy = [name for name, _ in packages(locks.get("eddy.lock", "")) if HEAVY.match(name)]
    problems += [f"eddy.lock: {name} belongs to the embedder's image only" for name in heavy]
    problems += [
        f"{file}: {name} belongs to the build only: code is compiled ahead of time"
        for file in ("eddy.lock", "embedder.lock")
        for name, _ in packages(locks.get(file, ""))
        if name in COMPILERS
    ]
    return problems


def normalise(name: str) -> str:
    """A package's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def packages(lock: str) -> Iterator[tuple[str, str]]:
    """Name and version of each package of a lock."""
    for line in lock.splitlines():
        if found := LOCKED.match(line):
            yield normalise(found[1]), found[2]


def without_hash(lock: str) -> list[str]:
    """The packages whose entry has no hash."""
    entries = re.split(r"^(?=\S)", lock, flags=re.MULTILINE)
    return [found[1] for each in entries if (found := LOCKED.match(each)) and "--hash=sha256:" not in each]


def ignore_problems(text: str) -> list[str]:
    """An image gets what is named, not what was forgotten to be left out."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [] if lines[:1] == ["*"] else [".dockerignore: its first line must be *, all else exceptions"]
