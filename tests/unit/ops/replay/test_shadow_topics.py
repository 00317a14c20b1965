"""What belongs to a shadow and what does not; how its end is waited for; what children tell."""

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.topics import TOPICS
from services.ops.replay import consumer_group, shadow_pipeline, shadow_topics
from services.ops.replay.shadow_pipeline import Child, ChildDied, names_in
from services.ops.replay.source import ReplayFailed, Seen
from services.ops.settings import OpsSettings
from services.progress import Silent


@pytest.mark.parametrize("prefix", ["shadow.", "shop.shadow."])
def test_only_names_that_a_shadow_makes_are_its_own(prefix: str) -> None:
    own = [prefix + topic.name for topic in TOPICS]
    assert all(shadow_topics.is_of(name, prefix) for name in [*own, f"{prefix}shadow-run"])
    assert shadow_topics.is_of(f"{prefix}replay-0a1b-sessions-changelog", prefix)
    others = [
        "events",
        f"{prefix}eu.events",
        f"{prefix}session-processor-sessions-changelog",
        f"{prefix}orders",
    ]
    assert not any(shadow_topics.is_of(name, prefix) for name in others)


@pytest.mark.parametrize("name", ["", "a.b", "ü", "x" * 33, "a b"])
def test_a_name_that_makes_no_prefix_is_refused(name: str) -> None:
    with pytest.raises(ReplayFailed, match="--prefix takes"):
        shadow_topics.prefix_of(OpsSettings(), name)


def test_a_prefix_that_would_be_too_long_is_refused() -> None:
    with pytest.raises(ReplayFailed, match="longer than 64"):
        shadow_topics.prefix_of(OpsSettings(topic_prefix="p" * 50), "x" * 20)


def test_of_two_replays_of_one_prefix_the_second_is_refused(tmp_path: Path) -> None:
    live = OpsSettings(ops_datadir=tmp_path)
    with (
        shadow_topics.lock_prefix(live, "shadow."),
        shadow_topics.lock_prefix(live, "other."),
        pytest.raises(ReplayFailed, match="replays into shadow"),
        shadow_topics.lock_prefix(live, "shadow."),
    ):
        pass
    with shadow_topics.lock_prefix(live, "shadow."):
        pass


class Group:
    """A group whose commits come as told."""

    name = "g"

    def __init__(self, *behind: int) -> None:
        self._behind = list(behind)

    def behind(self, _ends: object) -> int:
        return self._behind.pop(0) if len(self._behind) > 1 else self._behind[0]


class Counting(Silent):
    """How much was told."""

    done = 0

    def advance(self, n: int = 1) -> None:
        self.done += n


def wait(group: Group, progress: Counting) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    consumer_group.wait_for(
        group,  # type: ignore[arg-type]
        {0: 9},
        6,
        progress,
        meanwhile=lambda: None,
        clock=lambda: now[0],
        sleep=sleep,
    )


def test_commits_are_waited_for_and_told() -> None:
    progress = Counting()
    wait(Group(9, 7, 7, 3, 0), progress)
    assert progress.done == 6


def test_a_group_that_commits_nothing_for_long_is_told() -> None:
    with pytest.raises(ReplayFailed, match="committed nothing for 120 s and is 4 events behind"):
        wait(Group(9, 4), Counting())


def test_settings_are_read_off_a_help() -> None:
    told = "settings:\n  EDDY_DIVERSITY=0.2\n      how much EDDY_X=1\n  EDDY_SESSION_GAP_MINUTES=30.0\n"
    assert names_in(told) == {"diversity", "session_gap_minutes"}


def test_a_child_that_ends_is_told_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "import sys; sys.exit('EDDY_X: this is no number')"
    monkeypatch.setattr(shadow_pipeline, "_command", lambda _service: [sys.executable, "-c", words])
    child = Child("session_processor", 1, {}, tmp_path / "log")

    with pytest.raises(
        ChildDied, match=r"session_processor ended with status 1[\s\S]*EDDY_X: this is no number"
    ):
        child.wait_until_ready()


@given(st.lists(st.binary(max_size=4)), st.binary(max_size=4))
def test_what_was_seen_is_known(found: list[bytes], other: bytes) -> None:
    seen = Seen()
    for each in found:
        seen.add(each)
    assert len(seen) == len(set(found))
    assert all(each in seen for each in found)
    assert (other in seen) == (other in found)
