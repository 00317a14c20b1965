"""Candidates and features against a plain, slow reading of the same definitions."""

from collections import defaultdict
from math import exp, log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.model import candidates as recall
from services.model.candidates import FEATURES, Workspace, generate
from services.model.item2vec import Item2Vec, build_item2vec
from services.model.session_index import Floats, Ints, SessionIndex
from tests.support.session_indexes import PRODUCTS, histories, index_of

VECTORS = build_item2vec(
    np.random.default_rng(1).normal(size=(PRODUCTS, 8)).astype(np.float32),
    np.random.default_rng(2).normal(size=(PRODUCTS, 8)).astype(np.float32),
    k=2,
)
NO_VECTORS = build_item2vec(np.zeros((PRODUCTS, 8), np.float32), np.zeros((PRODUCTS, 8), np.float32), k=1)
visits = st.lists(st.integers(-1, PRODUCTS - 1), max_size=6)


def ask(
    index: SessionIndex, items: list[int], weights: list[float] | None = None, vectors: Item2Vec = VECTORS
) -> tuple[Ints, Floats]:
    work = Workspace.of(index.sessions, index.products)
    given_weights = np.array([1.0] * len(items) if weights is None else weights, dtype=np.float32)
    found = generate(index, vectors, np.array(items, np.int32), given_weights, np.empty(0, np.int32), work)
    _assert_clean(work)
    return found


def _assert_clean(work: Workspace) -> None:
    assert not work.similarity.any()
    assert not work.gathered.any()
    assert not work.is_met.any()
    assert not work.is_candidate.any()
    assert (work.reach_mark == -1).all()


def column(features: Floats, name: str) -> list[float]:
    return [float(value) for value in features[:, FEATURES.index(name)]]


def votes(sessions: list[list[int]], index: SessionIndex, items: list[int]) -> dict[int, float]:
    """Session-kNN as its definition reads."""
    total = len(sessions)
    rarity = [log(1 + total / (index.support[product] + 1)) for product in range(PRODUCTS)]
    distinct = [p for p in dict.fromkeys(reversed(items)) if p >= 0]
    ago = {product: list(reversed(items)).index(product) for product in distinct}
    scores: dict[int, float] = defaultdict(float)
    for number, session in enumerate(sessions):
        shared = [product for product in distinct if product in session]
        if not shared:
            continue
        similarity = sum(exp(-ago[product] / recall.POSITION_DECAY) * rarity[product] for product in shared)
        similarity *= exp(-(total - 1 - number) / total / recall.SESSION_DECAY) / sqrt(len(session) + 1)
        matched = len(session) - 1 - session[::-1].index(shared[0])
        for place, product in enumerate(session):
            near = recall.MATCHED if place == matched else exp(-abs(place - matched) / recall.DISTANCE_DECAY)
            scores[product] += similarity * near * rarity[product]
    return scores


@given(histories, visits)
def test_neighbours_vote_as_session_knn_defines(sessions: list[list[int]], items: list[int]) -> None:
    index = index_of(sessions)
    candidates, features = ask(index, items)
    expected = votes(sessions, index, items)
    found = dict(zip(candidates.tolist(), column(features, "knn"), strict=True))
    assert {product for product, score in expected.items() if score > 0} <= set(found)
    for product, score in found.items():
        assert score == pytest.approx(expected.get(product, 0.0), rel=1e-4, abs=1e-6)


@given(histories, visits)
def test_transitions_are_counted_from_the_last_product(sessions: list[list[int]], items: list[int]) -> None:
    known = [item for item in items if item >= 0]
    index = index_of(sessions)
    candidates, features = ask(index, items)
    shares = dict(zip(candidates.tolist(), column(features, "next_share"), strict=True))
    if not known:
        assert not any(shares.values())
        return
    last = known[-1]
    followed: dict[int, int] = defaultdict(int)
    for session in sessions:
        if last in session:
            place = len(session) - 1 - session[::-1].index(last)
            for product in session[place + 1 : place + 2]:
                followed[product] += 1
    for product, share in shares.items():
        expected = followed[product] / (index.support[last] + recall.SMOOTHING)
        assert share == pytest.approx(expected, rel=1e-5)


@given(histories, visits)
def test_no_candidate_comes_twice_and_all_numbers_are_finite(
    sessions: list[list[int]], items: list[int]
) -> None:
    candidates, features = ask(index_of(sessions), items)
    assert len(set(candidates.tolist())) == len(candidates)
    assert features.shape == (len(candidates), len(FEATURES))
    assert np.isfinite(features).all()


def test_item2vec_brings_what_no_session_holds() -> None:
    candidates, features = ask(index_of([[0, 1]]), [2])
    assert set(VECTORS.nearest[2].tolist()) <= set(candidates.tolist())
    of_last = dict(zip(candidates.tolist(), column(features, "item2vec_last"), strict=True))
    for product in VECTORS.nearest[2].tolist():
        expected = float(VECTORS.vectors_in[2] @ VECTORS.vectors_out[product])
        assert of_last[product] == pytest.approx(expected, rel=1e-5)


def test_a_heavier_event_pulls_more() -> None:
    index = index_of([[0, 3], [1, 4]])
    _, light = ask(index, [0, 1], [0.2, 1.0], NO_VECTORS)
    candidates, heavy = ask(index, [0, 1], [1.0, 0.2], NO_VECTORS)
    place = candidates.tolist().index(3)
    assert heavy[place, recall.KNN_SHARE] > light[place, recall.KNN_SHARE]


def test_what_was_taken_back_brings_nothing() -> None:
    candidates, _ = ask(index_of([[0, 3], [1, 4]]), [0, 1, 0], [1.0, 1.0, -0.5], NO_VECTORS)
    assert 4 in candidates.tolist()
    assert 3 not in candidates.tolist()


def test_other_sources_candidates_are_told_of_as_well() -> None:
    index = index_of([[0, 1], [4, 5]])
    work = Workspace.of(index.sessions, index.products)
    extra = np.array([5, 1, 5], dtype=np.int32)
    candidates, features = generate(
        index, NO_VECTORS, np.array([0], np.int32), np.ones(1, np.float32), extra, work
    )
    assert candidates.tolist().count(5) == 1
    row = features[candidates.tolist().index(5)]
    assert row[recall.POPULARITY] > 0
    assert row[recall.KNN] == 0


def test_repeats_and_how_long_ago_are_told() -> None:
    candidates, features = ask(index_of([[0, 1]]), [0, 1, 0, -1])
    told = dict(zip(candidates.tolist(), features, strict=True))
    assert (told[0][recall.REPEATS], told[0][recall.EVENTS_AGO]) == (2, 1)
    assert (told[1][recall.REPEATS], told[1][recall.EVENTS_AGO]) == (1, 2)
