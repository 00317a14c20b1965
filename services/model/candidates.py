"""Candidates for a session from what past sessions and item2vec know, each with its features. Compiled.

One walk over the newest past sessions that share a product with the current one gives both the neighbours
(VMIS-kNN; decays by position, age and distance as in V-STAN: Garg et al., SIGIR 2019) and the transitions.
numba compiles this file once and keeps the result beside it. All of it is one file because a kept result
is thrown away when its own file changes, not when another does.
"""

from math import exp, log, sqrt
from typing import Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from services.model.compiled import compile_code
from services.model.item2vec import Item2Vec
from services.model.session_index import Floats, Ints, SessionIndex

# What the re-ranker is told of a candidate, column by column. What compares between shops is preferred:
# shares, ranks, cosines, counts per 10,000 sessions. "Last" is the session's newest product, "second" the
# distinct one before it, "together" means in one past session.
#
# Session-kNN: a candidate's score among the neighbours, with and without the distance to what matched,
# as a share of all neighbours' similarity, beside its popularity; the best neighbour's, and how many have it.
KNN, KNN_UNIFORM, KNN_SHARE, KNN_PER_POPULARITY, KNN_BEST, KNN_SESSIONS = range(6)
# Transitions from the last product and the second: directly next, later (1/distance), earlier, anywhere.
NEXT_DECAYED, NEXT_SHARE, AFTER, BEFORE, TOGETHER_SHARE, SECOND_AFTER = range(6, 12)
# From all products of the session: sum, by how many reached, their share, and how long ago at the newest.
TOGETHER, REACHED_BY, REACHED_SHARE, TOGETHER_AGE = range(12, 16)
# item2vec: IN · OUT from the session, the last, the second; cosines OUT-OUT with the last's IN, IN-IN with
# the last, with the nearest of the newest three, with the session.
ITEM2VEC, ITEM2VEC_LAST, ITEM2VEC_SECOND, OUT_COSINE, IN_COSINE, IN_COSINE_BEST, SESSION_COSINE = range(
    16, 23
)
# The product itself, ages as shares of all sessions.
POPULARITY, SEASON, TREND, IDLE, AGE = range(23, 28)
# Was it in this session: how often, how many events ago.
REPEATS, EVENTS_AGO = range(28, 30)
# The session: events, distinct products, sessions that hold the last, its season, neighbours, last repeated.
LENGTH, DISTINCT, LAST_SUPPORT, LAST_SEASON, NEIGHBOURS, LAST_REPEATED = range(30, 36)
# Places among the candidates, 0 the best, equal ones alike.
KNN_RANK, AFTER_RANK, ITEM2VEC_RANK, TOGETHER_RANK = range(36, 40)
# Σ weight · cosine of the content vectors of session and candidate; 0 where there are none.
CONTENT: Final = 40

FEATURES: Final = (
    "knn", "knn_uniform", "knn_share", "knn_per_popularity", "knn_best", "knn_sessions",
    "next_decayed", "next_share", "after", "before", "together_share", "second_after",
    "together", "reached_by", "reached_share", "together_age",
    "item2vec", "item2vec_last", "item2vec_second", "out_cosine", "in_cosine", "in_cosine_best",
    "session_cosine",
    "popularity", "season", "trend", "idle", "age",
    "repeats", "events_ago",
    "length", "distinct", "last_support", "last_season", "neighbours", "last_repeated",
    "knn_rank", "after_rank", "item2vec_rank", "together_rank",
    "content",
)  # fmt: skip

# Settings that were chosen on validation cuts of two datasets and hardly matter within a factor of two.
NEIGHBOURS_MAX: Final = 500  # k of the kNN
CONTEXT_MAX: Final = 15  # newest distinct products of the session that are looked up
REACH_EVENTS: Final = 10  # around a shared product, as far as transitions are counted
POSITION_DECAY: Final = 2.6  # events: e-folding with the place in the session, besides the session's own
SESSION_DECAY: Final = 0.5  # share of all sessions: e-folding of a past session's weight with its age
DISTANCE_DECAY: Final = 1.5  # events: e-folding with the distance to what matched
MATCHED: Final = 1.0  # what the matched product itself counts: people come back to products
HALF_LIFE: Final = 3.0  # events: of a product's part in the session's vectors, besides the session's own
BACKWARD: Final = 1.5  # steps backward are this much longer than steps forward
SMOOTHING: Final = 3.0  # sessions added to a share's denominator
NEAREST_COMPARED: Final = 3
NEVER_CLICKED: Final = 99.0  # EVENTS_AGO of what is not in the session

# How many candidates each source brings at most.
FROM_KNN: Final = 120
FROM_TRANSITIONS: Final = 60
FROM_TOGETHER: Final = 60
FROM_ITEM2VEC: Final = 100  # for the last product; half of it for the second, a third for the third
ITEM2VEC_PRODUCTS: Final = 3

# Columns of what is gathered for each product met on the way.
_KNN, _UNIFORM, _BEST, _SESSIONS, _NEXT, _NEXT_DECAYED, _AFTER, _BEFORE, _COUNT = range(9)
_SECOND_AFTER, _TOGETHER, _REACHED, _NEWEST = range(9, 13)
_COLUMNS: Final = 13

_WIDTH: Final = len(FEATURES)
_FLOAT: Final = np.float32


class Workspace(NamedTuple):
    """Arrays as long as the index, all zero between two sessions; for one thread at a time."""

    similarity: Floats
    matched: Ints
    met_sessions: Ints
    gathered: Floats
    reach_mark: Ints
    met: Ints
    is_met: npt.NDArray[np.uint8]
    is_candidate: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, sessions: int, products: int) -> Self:
        """For an index of this size: 12 bytes a session, 62 a product."""
        return cls(
            np.zeros(sessions, np.float32),
            np.zeros(sessions, np.int32),
            np.empty(sessions, np.int32),
            np.zeros((products, _COLUMNS), np.float32),
            np.full(products, -1, np.int32),
            np.empty(products, np.int32),
            np.zeros(products, np.uint8),
            np.zeros(products, np.uint8),
        )


@compile_code(is_entry=True)
def generate(
    index: SessionIndex, vectors: Item2Vec, items: Ints, weights: Floats, extra: Ints, work: Workspace
) -> tuple[Ints, Floats]:
    """The candidates (n,) as product numbers, no two alike, and their features (n, FEATURES) but CONTENT.

    `items` are the session's products in order, −1 for one that the model does not know; `weights` what each
    event counts by its type and age, the greatest 1. `extra` are candidates of other sources, by number.
    """
    context = _context(items, weights)
    sessions, met = _collect_sessions(index, items, weights, context, work)
    similarity, met = _vote(index, sessions, met, work)
    candidates = _select(vectors, items, context, extra, met, work)
    features = np.zeros((len(candidates), _WIDTH), np.float32)
    _fill_counts(index, items, context, candidates, similarity, sessions, features, work)
    _fill_vectors(vectors, items, weights, context, candidates, features)
    _fill_products(index, items, context, candidates, features)
    _fill_ranks(features)
    _clear(candidates, met, work)
    return candidates, features


@compile_code()
def _context(items: Ints, weights: Floats) -> Ints:
    """Places of the newest distinct known products, newest first, but those that were taken back."""
    places = np.empty(min(len(items), CONTEXT_MAX), np.int32)
    found = 0
    for place in range(len(items) - 1, -1, -1):
        if found == len(places):
            break
        if items[place] >= 0 and not _is_later(items, place) and weights[place] > 0:
            places[found] = place
            found += 1
    return places[:found]


@compile_code()
def _is_later(items: Ints, place: int) -> bool:
    for later in range(place + 1, len(items)):  # noqa: SIM110 - numba has no generators in any()
        if items[later] == items[place]:
            return True
    return False


@compile_code(fastmath=True)
def _collect_sessions(
    index: SessionIndex, items: Ints, weights: Floats, context: Ints, work: Workspace
) -> tuple[int, int]:
    """Through the newest sessions of each product of the context; how many sessions and products were met.

    Arrays have names of their own here, and rows none: in the innermost loop each costs a reference count.
    """
    past_items, session_of, starts = index.items, index.session_of, index.starts
    similarity, matched, met_sessions = work.similarity, work.matched, work.met_sessions
    gathered, reach_mark, is_met, met_products = work.gathered, work.reach_mark, work.is_met, work.met
    sessions, met, total = 0, 0, len(starts) - 1
    for nth in range(len(context)):
        place = context[nth]
        begin, end = index.place_starts[items[place]], index.place_starts[items[place] + 1]
        ago = len(items) - 1 - place
        weight = _FLOAT(weights[place] * exp(-ago / POSITION_DECAY) * _rarity(index, items[place]))
        step_weight = weights[place] * 0.5 ** (ago / HALF_LIFE) / sqrt(max(end - begin, 1))
        for at in range(begin, end):
            past = index.places[at]
            session = session_of[past]
            if similarity[session] == 0:
                met_sessions[sessions] = session
                matched[session] = past
                sessions += 1
            similarity[session] += weight
            decay = _FLOAT(exp(-(total - 1 - session) / (total * SESSION_DECAY)))
            for other in range(
                max(starts[session], past - REACH_EVENTS), min(starts[session + 1], past + REACH_EVENTS + 1)
            ):
                if other == past:
                    continue
                product = past_items[other]
                if is_met[product] == 0:
                    is_met[product] = 1
                    met_products[met] = product
                    met += 1
                if reach_mark[product] != nth:
                    reach_mark[product] = nth
                    gathered[product, _REACHED] += 1
                gathered[product, _NEWEST] = max(gathered[product, _NEWEST], session + 1)
                steps = other - past
                part = decay / (steps if steps > 0 else -steps)
                if nth == 0:
                    gathered[product, _COUNT] += 1
                    gathered[product, _AFTER if steps > 0 else _BEFORE] += part
                    if steps == 1:
                        gathered[product, _NEXT] += 1
                        gathered[product, _NEXT_DECAYED] += decay
                elif nth == 1 and steps > 0:
                    gathered[product, _SECOND_AFTER] += part
                gathered[product, _TOGETHER] += step_weight * (part if steps > 0 else part / BACKWARD)
    return sessions, met


@compile_code(inline=True)
def _age(index: SessionIndex, session: int) -> float:
    """Of a past session, as a share of all."""
    count = len(index.starts) - 1
    return (count - 1 - session) / count


@compile_code(inline=True)
def _rarity(index: SessionIndex, product: int) -> float:
    """Inverse document frequency, with sessions for documents."""
    return log(1 + (len(index.starts) - 1) / (index.support[product] + 1))


@compile_code(fastmath=True)
def _vote(index: SessionIndex, sessions: int, met: int, work: Workspace) -> tuple[float, int]:
    """Lets the most similar sessions vote; the sum of their similarities, and how many products are met."""
    past_items, starts = index.items, index.starts
    gathered, is_met, met_products = work.gathered, work.is_met, work.met
    values = np.empty(sessions, np.float32)
    for nth in range(sessions):
        session = work.met_sessions[nth]
        length = starts[session + 1] - starts[session]
        values[nth] = work.similarity[session] * exp(-_age(index, session) / SESSION_DECAY) / sqrt(length + 1)
        work.similarity[session] = 0
    least = _least_of_best(values, NEIGHBOURS_MAX)
    total = 0.0
    for nth in range(sessions):
        if values[nth] < least:
            continue
        session, similarity = work.met_sessions[nth], values[nth]
        matched = work.matched[session]
        total += similarity
        for place in range(starts[session], starts[session + 1]):
            product = past_items[place]
            if is_met[product] == 0:
                is_met[product] = 1
                met_products[met] = product
                met += 1
            near = _FLOAT(MATCHED if place == matched else exp(-abs(place - matched) / DISTANCE_DECAY))
            gathered[product, _KNN] += similarity * near
            gathered[product, _UNIFORM] += similarity
            gathered[product, _BEST] = max(gathered[product, _BEST], similarity)
            gathered[product, _SESSIONS] += 1
    return total, met


@compile_code()
def _least_of_best(values: Floats, most: int) -> float:
    """The threshold that `most` of the values reach, and more only where several are equal."""
    if len(values) <= most:
        return 0.0
    return float(np.partition(values, len(values) - most)[len(values) - most])


@compile_code()
def _select(vectors: Item2Vec, items: Ints, context: Ints, extra: Ints, met: int, work: Workspace) -> Ints:
    """The union of the sources, in the order: the session's own, kNN, transitions, together, item2vec."""
    spare = 2 * FROM_ITEM2VEC
    room = len(context) + met + len(extra) + spare
    chosen = np.empty(room, np.int32)
    count = 0
    for nth in range(len(context)):
        count = _choose(items[context[nth]], chosen, count, work)
    count = _best_by(_KNN, 0.0, FROM_KNN, chosen, count, met, work)
    count = _best_by(_AFTER, 0.6, FROM_TRANSITIONS, chosen, count, met, work)
    count = _best_by(_TOGETHER, 0.0, FROM_TOGETHER, chosen, count, met, work)
    for nth in range(min(len(context), ITEM2VEC_PRODUCTS)):
        nearest = vectors.nearest[items[context[nth]]]
        for place in range(min(FROM_ITEM2VEC // (nth + 1), len(nearest))):
            count = _choose(nearest[place], chosen, count, work)
    for product in extra:
        count = _choose(product, chosen, count, work)
    return chosen[:count].copy()


@compile_code()
def _best_by(
    column: int, before: float, most: int, chosen: Ints, count: int, met: int, work: Workspace
) -> int:
    """The products met that have most of one column (and `before` times as much of what came before)."""
    values = np.empty(met, np.float32)
    for nth in range(met):
        row = work.gathered[work.met[nth]]
        values[nth] = row[column] + before * row[_BEFORE]
    least = _least_of_best(values, most)
    limit = count + most
    for nth in range(met):
        if values[nth] > 0 and values[nth] >= least and count < limit:
            count = _choose(work.met[nth], chosen, count, work)
    return count


@compile_code(inline=True)
def _choose(product: int, chosen: Ints, count: int, work: Workspace) -> int:
    if work.is_candidate[product] == 0:
        work.is_candidate[product] = 1
        chosen[count] = product
        count += 1
    return count


@compile_code(fastmath=True)
def _fill_counts(
    index: SessionIndex,
    items: Ints,
    context: Ints,
    candidates: Ints,
    similarity: float,
    sessions: int,
    features: Floats,
    work: Workspace,
) -> None:
    looked = 0
    if len(context):
        last = items[context[0]]
        looked = index.place_starts[last + 1] - index.place_starts[last]
    total = len(index.starts) - 1
    for nth in range(len(candidates)):
        product, row = candidates[nth], features[nth]
        found = work.gathered[product]
        row[KNN] = found[_KNN] * _rarity(index, product)
        row[KNN_UNIFORM] = found[_UNIFORM]
        row[KNN_SHARE] = row[KNN] / (similarity + 1e-9)
        row[KNN_PER_POPULARITY] = found[_KNN] / sqrt(index.support[product] + 5)
        row[KNN_BEST] = found[_BEST]
        row[KNN_SESSIONS] = found[_SESSIONS]
        row[NEXT_DECAYED] = found[_NEXT_DECAYED]
        row[NEXT_SHARE] = found[_NEXT] / (looked + SMOOTHING)
        row[AFTER] = found[_AFTER]
        row[BEFORE] = found[_BEFORE]
        row[TOGETHER_SHARE] = found[_COUNT] / (looked + SMOOTHING)
        row[SECOND_AFTER] = found[_SECOND_AFTER]
        row[TOGETHER] = found[_TOGETHER]
        row[REACHED_BY] = found[_REACHED]
        row[REACHED_SHARE] = found[_REACHED] / max(len(context), 1)
        row[TOGETHER_AGE] = (total - found[_NEWEST]) / max(total, 1)
        row[NEIGHBOURS] = sessions


@compile_code(fastmath=True)
def _fill_vectors(
    vectors: Item2Vec, items: Ints, weights: Floats, context: Ints, candidates: Ints, features: Floats
) -> None:
    if len(context) == 0:
        return
    query = np.zeros(vectors.vectors_in.shape[1], np.float32)
    for place in range(len(items)):
        if items[place] >= 0 and weights[place] > 0:
            weight = _FLOAT(weights[place] * 0.5 ** ((len(items) - 1 - place) / HALF_LIFE))
            query += weight * vectors.vectors_in[items[place]]
    length = sqrt(_dot(query, query)) + 1e-9
    last = items[context[0]]
    for nth in range(len(candidates)):
        product, row = candidates[nth], features[nth]
        out, unit = vectors.vectors_out[product], vectors.units_in[product]
        row[ITEM2VEC] = _dot(query, out)
        row[ITEM2VEC_LAST] = _dot(vectors.vectors_in[last], out)
        if len(context) > 1:
            row[ITEM2VEC_SECOND] = _dot(vectors.vectors_in[items[context[1]]], out)
        row[OUT_COSINE] = _dot(vectors.units_in[last], vectors.units_out[product])
        row[IN_COSINE] = _dot(vectors.units_in[last], unit)
        row[IN_COSINE_BEST] = _nearest_cosine(vectors, items, context, product)
        row[SESSION_COSINE] = _dot(query, unit) / length


@compile_code(fastmath=True)
def _nearest_cosine(vectors: Item2Vec, items: Ints, context: Ints, product: int) -> float:
    best = -1.0
    for nth in range(min(len(context), NEAREST_COMPARED)):
        other = items[context[nth]]
        if other != product:
            best = max(best, _dot(vectors.units_in[other], vectors.units_in[product]))
    return best


@compile_code(fastmath=True)
def _dot(one: Floats, other: Floats) -> float:
    total = _FLOAT(0)
    for place in range(len(one)):
        total += one[place] * other[place]
    return float(total)


@compile_code()
def _fill_products(
    index: SessionIndex, items: Ints, context: Ints, candidates: Ints, features: Floats
) -> None:
    total, length = len(index.starts) - 1, len(items)
    known = len(context) > 0
    repeated = length > 1 and items[length - 1] == items[length - 2]
    for nth in range(len(candidates)):
        product, row = candidates[nth], features[nth]
        row[POPULARITY] = index.popularity[product]
        row[SEASON] = index.season[product]
        row[TREND] = index.trend[product]
        row[IDLE] = (total - index.last[product]) / max(total, 1)
        row[AGE] = (total - index.first[product]) / max(total, 1)
        row[EVENTS_AGO] = NEVER_CLICKED
        for place in range(length):
            if items[place] == product:
                row[REPEATS] += 1
                row[EVENTS_AGO] = length - 1 - place
        row[LENGTH] = length
        row[DISTINCT] = len(context)
        row[LAST_SUPPORT] = index.support[items[context[0]]] if known else 0
        row[LAST_SEASON] = index.season[items[context[0]]] if known else 0
        row[LAST_REPEATED] = repeated


@compile_code()
def _fill_ranks(features: Floats) -> None:
    _rank(features, KNN, KNN_RANK)
    _rank(features, AFTER, AFTER_RANK)
    _rank(features, ITEM2VEC, ITEM2VEC_RANK)
    _rank(features, TOGETHER, TOGETHER_RANK)


@compile_code()
def _rank(features: Floats, column: int, into: int) -> None:
    order = np.argsort(-features[:, column])
    rank = 0
    for place in range(len(order)):
        if place and features[order[place], column] < features[order[place - 1], column]:
            rank = place
        features[order[place], into] = rank


@compile_code()
def _clear(candidates: Ints, met: int, work: Workspace) -> None:
    for nth in range(met):
        product = work.met[nth]
        work.is_met[product] = 0
        work.reach_mark[product] = -1
        work.gathered[product] = 0
    for product in candidates:
        work.is_candidate[product] = 0
