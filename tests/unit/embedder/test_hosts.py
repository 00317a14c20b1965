"""Places at hosts: a share of the threads for each, and none for those that are away."""

from collections import deque
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.embedder.errors import HostAway, Unreachable
from services.embedder.pictures.hosts import AWAY_FIRST_S, FAILURES_MAX, HostPlaces


class Threads:
    """Runs what it is given when it is told to, the first first."""

    def __init__(self) -> None:
        self.given: deque[Callable[[], None]] = deque()
        self.now = 0.0

    def run_one(self) -> None:
        self.given.popleft()()

    def run_all(self) -> None:
        while self.given:
            self.run_one()


@pytest.fixture
def threads() -> Threads:
    return Threads()


def places(threads: Threads, most: int = 2) -> HostPlaces[str]:
    return HostPlaces(threads.given.append, most, lambda: threads.now)


def fail() -> str:
    raise HostAway("it takes too long")


def test_a_host_has_its_share_and_others_go_on(threads: Threads) -> None:
    hosts = places(threads)
    of_one = [hosts.submit("one", partial("one {}".format, number)) for number in range(5)]
    other = hosts.submit("other", lambda: "other")
    assert (len(threads.given), len(hosts)) == (3, 3)
    for _ in range(3):
        threads.run_one()
    assert other.result(0) == "other"
    assert [each.done() for each in of_one] == [True, True, False, False, False]
    threads.run_all()
    assert [each.result(0) for each in of_one] == [f"one {number}" for number in range(5)]
    assert len(hosts) == 0
    assert hosts._hosts == {}


def test_a_host_that_is_away_fails_at_once_until_it_is_tried_again(threads: Threads) -> None:
    hosts = places(threads)
    first = [hosts.submit("slow", fail) for _ in range(50)]
    for _ in range(FAILURES_MAX):
        threads.run_one()
    threads.run_all()
    assert all(isinstance(each.exception(0), HostAway) for each in first)
    assert "left alone" in str(first[-1].exception(0))
    assert "left alone" in str(hosts.submit("slow", fail).exception(0))
    threads.now = AWAY_FIRST_S
    probe = hosts.submit("slow", lambda: "back")
    assert isinstance(hosts.submit("slow", lambda: "too early").exception(0), HostAway)
    threads.run_all()
    assert probe.result(0) == "back"
    again = hosts.submit("slow", lambda: "fine")
    threads.run_all()
    assert again.result(0) == "fine"


def test_the_pause_doubles_as_long_as_the_host_stays_away(threads: Threads) -> None:
    hosts = places(threads)
    for pause in (AWAY_FIRST_S, 2 * AWAY_FIRST_S, 4 * AWAY_FIRST_S):
        while not hosts._hosts or hosts._hosts["slow"].away_until <= threads.now:
            hosts.submit("slow", fail)
            threads.run_all()
        assert hosts._hosts["slow"].away_until == threads.now + pause
        threads.now += pause


def test_an_answer_that_is_no_picture_is_an_answer(threads: Threads) -> None:
    hosts = places(threads)

    def raise_gone() -> str:
        raise Unreachable("status 404")

    for _ in range(3 * FAILURES_MAX):
        hosts.submit("host", raise_gone)
        threads.run_all()
    fine = hosts.submit("host", lambda: "picture")
    threads.run_all()
    assert fine.result(0) == "picture"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["fine", "away", "gone"])), max_size=60))
def test_whatever_happens_everything_ends_and_nothing_is_left(wanted: list[tuple[str, str]]) -> None:
    threads = Threads()
    hosts = places(threads)
    running: dict[str, int] = dict.fromkeys("abc", 0)

    def work(host: str, end: str) -> str:
        assert hosts._hosts[host].running <= 2
        running[host] += 1
        if end == "away":
            raise HostAway(host)
        if end == "gone":
            raise Unreachable(host)
        return host

    futures = [hosts.submit(host, partial(work, host, end)) for host, end in wanted]
    threads.run_all()
    assert all(each.done() for each in futures)
    assert len(hosts) == 0
    assert all(not each.running and not each.waiting for each in hosts._hosts.values())
