"""What the doctor makes of what it finds, and that nothing holds it up."""

import threading
import time
from collections import Counter
from email.utils import formatdate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.points import PointVersion
from services.ops.doctor import checks, matches, report
from services.ops.doctor.command import look
from services.ops.doctor.report import Finding, worst
from services.ops.index.query import IndexState, compare
from services.ops.services import ahead_s

GB = 1_000_000_000


def test_all_is_looked_at_though_one_check_raises_and_one_never_ends() -> None:
    never = threading.Event()

    def raising() -> list[Finding]:
        raise ValueError("no such thing")

    def waiting() -> list[Finding]:
        never.wait()
        return []

    probes = {"late": waiting, "wrong": raising, "well": lambda: [Finding("well", "ok", "as it should be")]}
    began = time.monotonic()
    found = look(probes, 0.2)
    never.set()
    assert time.monotonic() - began < 5
    assert [(each.check, each.state) for each in found] == [("late", "bad"), ("wrong", "bad"), ("well", "ok")]
    assert found[1].found == "cannot be looked at: no such thing"
    assert found[0].what_to_do


def test_the_worst_counts() -> None:
    assert worst([]) == "ok"
    assert worst(["ok", "bad", "warn"]) == "bad"
    assert worst(["ok", "warn"]) == "warn"


@pytest.mark.parametrize(
    ("free", "total", "state"),
    [(0.5, 100, "bad"), (3, 20, "warn"), (40, 1000, "warn"), (80, 1000, "ok"), (6, 20, "ok")],
)
def test_room_is_judged_by_bytes_and_share(free: float, total: float, state: str) -> None:
    assert report.judge_disk(int(free * GB), int(total * GB)) == state


@given(st.floats(-500, 500), st.integers(1_000_000_000_000, 2_000_000_000_000), st.integers(0, 900))
def test_a_date_header_tells_how_far_a_clock_is_ahead_to_its_second(
    ahead: float, now: int, took_ms: int
) -> None:
    header = formatdate((now + ahead * 1000) / 1000, usegmt=True)
    found = ahead_s(header, now, now + took_ms)
    assert found is not None
    assert abs(found - ahead) <= 1 + took_ms / 1000 + 1e-6
    if 0 <= ahead <= took_ms / 1000:
        assert found == 0


def test_headers_that_tell_nothing_are_passed_over() -> None:
    assert ahead_s(None, 0, 1) is None
    assert ahead_s("yesterday", 0, 1) is None


def test_the_clock_that_is_furthest_away_is_named() -> None:
    assert report.judge_clocks([("ingest", 0.0), ("embedder", None)]).state == "ok"
    found = report.judge_clocks([("ingest", 3.0), ("embedder", -75.5)])
    assert (found.state, found.found) == ("bad", "embedder is 75.5 s behind this machine")
    assert report.judge_clocks([("ingest", 3.0)]).state == "warn"
    assert report.judge_clocks([("ingest", None)]).state == "warn"


def test_what_matches_nothing_is_counted_named_and_asked_about() -> None:
    assert matches.judge("c", "events", 0, 0, Counter()).found == "no events in the last day"
    assert matches.judge("c", "events", 0, 10, Counter()).state == "ok"
    few = matches.judge("c", "events", 9, 1_000, Counter({"gone": 9}))
    assert (few.state, few.what_to_do) == ("ok", "")  # pages of products that have gone stay open a while
    some = matches.judge("c", "events", 12, 1_000, Counter({f"p{each}": each for each in range(7)}))
    assert some.state == "warn"
    assert "12 of 1,000 events of the last day (1.2%) name unknown products: p6 (6×), p5 (5×)" in some.found
    assert some.found.endswith(" and 2 more")
    assert "ids of events and catalogue differ?" in some.what_to_do
    assert matches.judge("c", "events", 500, 1_000, Counter({"p": 500})).state == "bad"


INSTALLED = dict.fromkeys(report.TOLD, "1.0")


def test_versions_are_held_against_the_lock_and_packages_of_other_services_may_lack() -> None:
    assert report.judge_versions((3, 11), INSTALLED, INSTALLED | {"torch": "2"}).state == "ok"
    found = report.judge_versions((3, 12), INSTALLED | {"numpy": "1"}, INSTALLED | {"numpy": "2"})
    assert found.state == "warn"
    assert "numpy 1, pinned 2" in found.found
    assert report.judge_versions((3, 10), INSTALLED, {}).state == "bad"
    lacking = {name: version for name, version in INSTALLED.items() if name != "msgspec"}
    assert "missing: msgspec" in report.judge_versions((3, 11), lacking, {}).found


def test_where_there_is_no_lock_versions_are_only_told(tmp_path: Path) -> None:
    [found] = checks.versions(tmp_path / "none")
    assert found.state == "ok"
    assert "msgspec" in found.found


ids = st.sampled_from([f"p{number}" for number in range(6)])
versions = st.dictionaries(ids, st.builds(PointVersion, st.integers(0, 3), st.sampled_from(["", "a", "b"])))


@given(versions, versions)
def test_an_index_agrees_when_it_has_every_product_as_the_topic_or_newer(
    topic: dict[str, PointVersion], index: dict[str, PointVersion]
) -> None:
    found = compare("there", topic, index)
    fits = topic.keys() == index.keys() and all(
        index[each].digest == topic[each].digest or index[each].updated_at > topic[each].updated_at
        for each in topic
    )
    assert found.agrees is fits
    assert found.missing + len(topic.keys() & index.keys()) == len(topic)
    assert found.surplus + len(topic.keys() & index.keys()) == len(index)


def test_an_index_with_more_products_than_its_topic_is_not_told_as_a_part_of_it() -> None:
    state = IndexState(
        kind="in_process", where="the recommender at x", on_topic=0, in_index=2_412, topic="b.product-vectors"
    )
    assert state.counts == "the recommender at x has 2,412 products, the topic b.product-vectors 0"
    few = IndexState(kind="in_process", where="the recommender at x", on_topic=3, in_index=2)
    assert few.counts == "2 of 3 products in the recommender at x"


def test_an_index_that_does_not_answer_agrees_with_nothing() -> None:
    found = IndexState(kind="in_process", where="", on_topic=0, in_index=None, trouble="away")
    assert not found.agrees
