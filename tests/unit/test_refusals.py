"""Identical refusals have few letters, and their letters say how many they were."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.refusals import RefusalSampler
from tests.support.clock import Clock


def test_the_first_the_tenth_and_the_hundredth_have_a_letter() -> None:
    sampler = RefusalSampler()
    counts = {number: count for number in range(1, 1_001) if (count := sampler.sample(b"raw", "reason"))}
    assert counts == {1: 1, 10: 9, 100: 90, 1_000: 900}
    assert sum(counts.values()) == 1_000


@given(st.lists(st.tuples(st.none() | st.binary(max_size=2), st.text(max_size=2)), unique=True, max_size=20))
def test_what_differs_in_anything_has_a_letter_of_its_own(refusals: list[tuple[bytes | None, str]]) -> None:
    sampler = RefusalSampler()
    assert [sampler.sample(*each) for each in refusals] == [1] * len(refusals)
    assert [sampler.sample(*each) for each in refusals] == [0] * len(refusals)


def test_parts_are_not_run_together() -> None:
    sampler = RefusalSampler()
    for parts in ((b"ab", b"c"), (b"a", b"bc"), (b"abc",), (None, b"abc"), (b"", b"abc")):
        assert sampler.sample(*parts) == 1


def test_after_an_hour_the_same_has_a_letter_again_however_often_it_came() -> None:
    clock = Clock()
    sampler = RefusalSampler(within_s=3_600, timer=lambda: clock.now)
    letters = 0
    for second in range(0, 7_300, 10):
        clock.now = float(second)
        letters += sampler.sample(b"again") > 0
    assert letters == 3 * 3 - 1  # the third hour has just begun


def test_a_failed_send_begins_anew() -> None:
    sampler = RefusalSampler()
    assert sampler.sample(b"raw") == 1
    sampler.reset()
    assert sampler.sample(b"raw") == 1


@pytest.mark.parametrize("text", ["\ud800", "é", ""])
def test_any_text_is_a_part(text: str) -> None:
    assert RefusalSampler().sample(text) == 1
