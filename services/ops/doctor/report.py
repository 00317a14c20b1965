"""The report of `doctor`: a line a check, and what figures of disk, clock and versions mean. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final, Literal

import msgspec

State = Literal["ok", "warn", "bad"]

WORSE: Final[tuple[State, ...]] = ("ok", "warn", "bad")


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line. `what_to_do` is empty where nothing is to be done."""

    check: str
    state: State
    found: str
    what_to_do: str = ""


class Report(msgspec.Struct, frozen=True):
    """All lines; `at` is Unix ms, `state` the worst of them."""

    at: int
    seconds: float
    state: State
    findings: tuple[Finding, ...]


def worst(states: Iterable[State]) -> State:
    """The worst of these; ok where there are none."""
    return max(states, key=WORSE.index, default="ok")


def unknown(check: str) -> Finding:
    """What can only be asked of a broker, while none answers."""
    return Finding(check, "warn", "not looked at: no broker answers", "see the line of the broker")


WARN_S: Final = 2.0
BAD_S: Final = 60.0


def judge_clocks(apart: Iterable[tuple[str, float | None]]) -> Finding:
    """From how far each is ahead of this machine, in seconds; None is not known."""
    known = [(name, seconds) for name, seconds in apart if seconds is not None]
    if not known:
        return Finding("clock", "warn", "nothing answers whose clock could be compared", "start the services")
    name, seconds = max(known, key=lambda each: abs(each[1]))
    if abs(seconds) < WARN_S:
        return Finding("clock", "ok", f"{len(known)} clocks agree with this machine's within {WARN_S:.0f} s")
    told = f"{name} is {abs(seconds):,.1f} s {'ahead of' if seconds > 0 else 'behind'} this machine"
    what = "set both by NTP (chronyc tracking): sessions, decay and erasures go by the services' clocks"
    return Finding("clock", "bad" if abs(seconds) > BAD_S else "warn", told, what)


GB: Final = 1_000_000_000
BAD_BYTES: Final = 1 * GB  # less than what `make up` asks for
WARN_BYTES: Final = 5 * GB
WARN_SHARE: Final = 0.05


def judge_disk(free: int, total: int) -> State:
    """What so many bytes mean."""
    if free < BAD_BYTES:
        return "bad"
    return "warn" if free < WARN_BYTES or free < WARN_SHARE * total else "ok"


PYTHON: Final = (3, 11)
TOLD: Final = ("faust-streaming", "confluent-kafka", "qdrant-client", "qdrant-edge-py", "msgspec")
PACKAGES_NAMED: Final = 5


def judge_versions(
    python: tuple[int, ...], installed: Mapping[str, str], pinned: Mapping[str, str]
) -> Finding:
    """What is installed against what is pinned; packages of other services may be left out."""
    told = f"python {'.'.join(map(str, python))}, " + ", ".join(
        f"{name} {installed.get(name, 'missing')}" for name in TOLD
    )
    if python < PYTHON:
        return Finding("versions", "bad", told, f"Eddy needs Python {'.'.join(map(str, PYTHON))} or newer")
    if missing := [name for name in TOLD if name not in installed]:
        return Finding("versions", "bad", f"{told}; missing: {', '.join(missing)}", "make setup")
    others = [
        f"{name} {installed[name]}, pinned {version}"
        for name, version in sorted(pinned.items())
        if name in installed and installed[name] != version
    ]
    if others:
        more = f" and {len(others) - PACKAGES_NAMED} more" if len(others) > PACKAGES_NAMED else ""
        what = "make setup: these versions were not tested together"
        return Finding(
            "versions", "warn", f"{told}; differ: {'; '.join(others[:PACKAGES_NAMED])}{more}", what
        )
    if not pinned:
        return Finding("versions", "ok", f"{told} (no requirements.lock to compare with)")
    return Finding("versions", "ok", f"{told}, all as requirements.lock")
