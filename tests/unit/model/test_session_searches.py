"""Searches count for minutes, the newest few, each once."""

from random import Random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Event
from schemas.sessions import SEARCH_WORDS_BYTES_MAX, SEARCHES_MAX, SessionSearch
from services.model.session_searches import HALF_LIFE_MS, merge_searches, searches_of, weigh_searches
from tests.support.examples import examples
from tests.support.sessions import MINUTE, event


def search(number: int, at: int, words: str) -> Event:
    return msgspec.structs.replace(event(number, at, type_="search"), product_id=None, query=words)


def entry(number: int, at: int, words: str = "boots") -> SessionSearch:
    [found] = searches_of(search(number, at, words))
    return found


def test_words_are_cut_at_a_whole_character() -> None:
    assert entry(1, 0, "  red \n boots ").words == "red boots"
    cut = entry(1, 0, "é" * 300).words
    assert cut == "é" * (SEARCH_WORDS_BYTES_MAX // 2)
    assert searches_of(search(1, 0, "   ")) == ()
    assert searches_of(event(1, 0)) == ()


entries = st.lists(st.builds(entry, st.integers(0, 9), st.integers(0, 100), st.sampled_from(["a", "b"])))


@given(entries, st.randoms(use_true_random=False), st.integers(0, 20))
@examples(100)
def test_order_and_repetition_change_nothing(found: list[SessionSearch], random: Random, cut: int) -> None:
    shuffled = found + found[:cut]
    random.shuffle(shuffled)
    one_by_one: tuple[SessionSearch, ...] = ()
    for each in shuffled:
        one_by_one = merge_searches([one_by_one, (each,)])
    assert one_by_one == merge_searches([tuple(found)])
    assert len(one_by_one) <= SEARCHES_MAX


def test_a_search_fades_within_minutes() -> None:
    first, second = entry(1, 0, "boots"), entry(2, 2 * MINUTE, "lamp")
    now = 2 * MINUTE
    assert [(each.words, round(share, 2)) for each, share in weigh_searches((first, second), now)] == [
        ("lamp", 1.0),
        ("boots", 0.76),
    ]
    assert weigh_searches((first,), HALF_LIFE_MS)[0][1] == 0.5
    assert weigh_searches((first, second), 30 * MINUTE) == []


def test_the_same_words_count_once_and_a_clock_ahead_counts_as_now() -> None:
    again = (entry(1, 0, "Boots"), entry(2, 10 * MINUTE, "boots"))
    assert weigh_searches(again, 5 * MINUTE) == [(again[1], 1.0)]
