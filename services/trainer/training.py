"""Learning: from histories to the arrays of a model.

The re-ranker must see candidates as they will be: for sessions that the rest of the model does not know. So
the older sessions make a first model, the newest tenth teaches the re-ranker to order its candidates, and
then all sessions make the model that serves.
"""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.objectives import OBJECTIVES, ObjectiveName
from services.model.behaviour import (
    FEATURE_NAMES,
    OBJECTIVE_NAMES,
    POPULARITY_FACTOR,
    PRODUCTS,
    Behaviour,
)
from services.model.candidates import FEATURES
from services.model.forest import OBJECTIVE_TREES, ObjectiveTrees, Trees
from services.model.item2vec import BLOCK, Item2Vec, all_nearest, build_item2vec
from services.model.propensity import (
    SeenRow,
    attention,
    estimate_examination,
    popularity_factors,
)
from services.model.repurchase import REPEATS, Repeats
from services.model.session import Tuning
from services.model.session_index import NEWEST, Floats, SessionIndex, build_index
from services.progress import Progress
from services.trainer import lambdarank, skipgram
from services.trainer.cases import OUTCOMES, Case, cases_at, continuing, outcome_cases
from services.trainer.content import Contents
from services.trainer.impressions import RowLesson, evenly
from services.trainer.lambdarank import (
    CASES_MIN,
    LESSONS_MIN,
    Groups,
    LambdaRank,
    Lesson,
    mean_reciprocal_rank,
)
from services.trainer.sessions import Histories
from services.trainer.skipgram import SkipGram

NEIGHBOURS: Final = 10


def infer_vectors(vectors: Floats, clicked: npt.NDArray[np.bool_], contents: Floats) -> Floats:
    """(n, width) `vectors` with a row for each product that was not clicked but has content.

    That row is the mean of the ten clicked products nearest by content, (n, c) rows whose dot product is
    their likeness, each weighted by it. Products without content, or unlike all others, keep their zeros.
    """
    described = contents.any(axis=1)
    cold = np.flatnonzero(~clicked & described)
    known = np.flatnonzero(clicked & described)
    filled = vectors.copy()
    if not len(cold) or not len(known):
        return filled
    near = all_nearest(contents[cold], contents[known], min(NEIGHBOURS, len(known)))
    for begin in range(0, len(cold), BLOCK):
        rows = slice(begin, begin + BLOCK)
        neighbours = known[near[rows]]
        likeness = np.einsum("nc,nkc->nk", contents[cold[rows]], contents[neighbours]).clip(min=0)
        total = likeness.sum(axis=1, keepdims=True)
        shares = np.divide(likeness, total, out=np.zeros_like(likeness), where=total > 0)
        filled[cold[rows]] = np.einsum("nk,nkw->nw", shares, vectors[neighbours])
    return filled


HELD_FROM: Final = 0.8  # of the cases, in the order of time: the rest tells whether rows taught well


@dataclass(frozen=True, slots=True)
class Parameters:
    """What learning can be told. `newest` sessions of a product can be found; `rank_share` is in sessions."""

    item2vec: SkipGram = field(default_factory=SkipGram)
    lambdarank: LambdaRank = field(default_factory=LambdaRank)
    tuning: Tuning = field(default_factory=Tuning)
    newest: int = NEWEST
    nearest: int = 100
    rank_share: float = 0.11
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A model: its arrays by name, its texts by file name (.txt or .json), and what it was made with.

    `lessons` are how many each objective could be learned from, whether or not that was enough.
    """

    arrays: dict[str, npt.NDArray[Any]]
    texts: dict[str, str]
    parameters: dict[str, object]
    lessons: Mapping[ObjectiveName, int] = field(default_factory=dict)

    def without(self, objectives: Collection[ObjectiveName]) -> "TrainedModel":
        """The same model, in which these objectives count as clicks."""
        if OBJECTIVE_NAMES not in self.texts:
            return self
        learned = msgspec.json.decode(self.texts[OBJECTIVE_NAMES], type=list[str])
        left = [name for name in learned if name not in objectives]
        if left:
            return replace(self, texts={**self.texts, OBJECTIVE_NAMES: _json(left)})
        texts = {name: text for name, text in self.texts.items() if name != OBJECTIVE_NAMES}
        arrays = {name: each for name, each in self.arrays.items() if not name.startswith(OBJECTIVE_TREES)}
        return replace(self, arrays=arrays, texts=texts)

    def learn_beside(self, repeats: Repeats, rows: Sequence[SeenRow] = ()) -> "TrainedModel":
        """The same model with what does not come from sessions: how soon types of products are bought again,
        and how often products were clicked where they were seen.

        Without rows that chance had a say in, popularity stays as it is counted.
        """
        arrays = dict(self.arrays)
        products = msgspec.json.decode(self.texts[PRODUCTS], type=list[str])
        if len(curve := estimate_examination(rows)):
            counts = self.arrays["sessions_popularity"]
            arrays[POPULARITY_FACTOR] = popularity_factors(attention(rows, curve), products, counts)
        return replace(self, arrays=arrays, texts={**self.texts, REPEATS: repeats.text()})


def fit(
    histories: Histories,
    parameters: Parameters,
    progress: Progress,
    contents: Contents | None = None,
    *,
    impressions: Sequence[RowLesson] = (),
) -> TrainedModel:
    """Learns from the histories, and from what the catalogue tells of products that nobody has clicked.

    Too few sessions for a re-ranker give a model that fuses ranks; too few of an objective one that has no
    trees of it. `impressions` are what rows taught that were seen.
    """
    learned = _re_rankers(histories, parameters, contents, impressions, progress)
    parts = _model(histories, parameters, contents, progress)
    packed = pack_model(*parts, learned.trees, parameters, objectives=learned.objectives)
    return replace(packed, lessons=learned.lessons)


def refit(
    trained: TrainedModel,
    histories: Histories,
    parameters: Parameters,
    progress: Progress,
    contents: Contents | None = None,
) -> TrainedModel:
    """The same model, with the same re-ranker, grown by the newest sessions."""
    parts = _model(histories, parameters, contents, progress)
    trees = Trees.of(trained.arrays) if Trees.are_in(trained.arrays) else None
    objectives = None
    if OBJECTIVE_NAMES in trained.texts:
        names = msgspec.json.decode(trained.texts[OBJECTIVE_NAMES], type=list[ObjectiveName])
        objectives = ObjectiveTrees(Trees.of(trained.arrays, OBJECTIVE_TREES), frozenset(names))
    return replace(pack_model(*parts, trees, parameters, objectives=objectives), lessons=trained.lessons)


def pack_model(
    products: Sequence[str],
    index: SessionIndex,
    vectors: Item2Vec,
    trees: Trees | None,
    parameters: Parameters,
    *,
    objectives: ObjectiveTrees | None = None,
) -> TrainedModel:
    """As an artifact holds it."""
    arrays = {**index.arrays(), **vectors.arrays(), **(trees.arrays() if trees else {})}
    texts = {PRODUCTS: _json(products), FEATURE_NAMES: _json(FEATURES)}
    if objectives is not None:
        arrays |= objectives.trees.arrays(OBJECTIVE_TREES)
        texts[OBJECTIVE_NAMES] = _json([name for name in OBJECTIVES if name in objectives.learned])
    return TrainedModel(arrays, texts, _describe(parameters))


def _model(
    histories: Histories, parameters: Parameters, contents: Contents | None, progress: Progress
) -> tuple[tuple[str, ...], SessionIndex, Item2Vec]:
    """Products, those of the catalogue that nobody clicked last; and what is known of them."""
    clicked = len(histories.products)
    products = histories.products + (contents.others(histories.products) if contents else ())
    index = build_index(histories.items, histories.starts, len(products), parameters.newest)
    learned_in, learned_out = (
        np.pad(vectors, ((0, len(products) - clicked), (0, 0)))
        for vectors in skipgram.vectors(
            histories, parameters.item2vec, threads=parameters.threads, progress=progress
        )
    )
    if contents:
        described, known = contents.rows(products), np.asarray(learned_in.any(axis=1))
        learned_in = infer_vectors(learned_in, known, described)
        learned_out = infer_vectors(learned_out, known, described)
    return products, index, build_item2vec(learned_in, learned_out, parameters.nearest)


@dataclass(frozen=True, slots=True)
class _ReRankers:
    """What orders candidates, and how many lessons each objective had."""

    trees: Trees | None = None
    objectives: ObjectiveTrees | None = None
    lessons: Mapping[ObjectiveName, int] = field(default_factory=dict)


def _re_rankers(
    histories: Histories,
    parameters: Parameters,
    contents: Contents | None,
    impressions: Sequence[RowLesson],
    progress: Progress,
) -> _ReRankers:
    """Trees for clicks; and where there are any, one more set for all objectives together."""
    first = int(histories.sessions * (1 - parameters.rank_share))
    older, newer = histories.part(0, first), histories.part(first, histories.sessions)
    if not older.sessions or not newer.sessions:
        return _ReRankers()
    ranking = parameters.lambdarank
    model = Behaviour("", *_model(older, parameters, contents, progress), None)

    def gather(lessons: Iterable[Lesson], count: int | None = None) -> Groups:
        return lambdarank.gather_groups(
            model,
            lessons,
            count,
            ranking,
            tuning=parameters.tuning,
            contents=contents,
            progress=progress,
        )

    def learn(groups: Groups) -> Trees | None:
        return lambdarank.fit_trees(groups, ranking, threads=parameters.threads, progress=progress)

    is_continued = continuing(newer)
    count = min(int(is_continued.sum()), ranking.cases)
    clicks = gather(_lessons(cases_at(newer, is_continued, count)), count)
    # What was shown later than what the first model knows is as new to it as the newer sessions are.
    later = [each.lesson for each in impressions if each.shown_at > older.ends[-1]]
    rows = gather(evenly(later, ranking.cases), min(len(later), ranking.cases))
    if _do_help(rows, clicks, learn):
        clicks += rows
    lessons: dict[ObjectiveName, int] = {"click": len(clicks.sizes)}
    trees = learn(clicks)
    if trees is None:
        return _ReRankers(lessons=lessons)
    outcomes: dict[ObjectiveName, Groups] = {}
    for name, kinds in OUTCOMES.items():
        groups = gather(_lessons(outcome_cases(newer, is_continued, kinds, ranking.cases)))
        lessons[name] = len(groups.sizes)
        if lessons[name] >= LESSONS_MIN:
            outcomes[name] = groups
    if not outcomes:
        return _ReRankers(trees, lessons=lessons)
    # As many clicks as there are of the most frequent outcome: with them few purchases are no noise.
    most = max(CASES_MIN, *(lessons[name] for name in outcomes))
    together = clicks.some(most).tell("click")
    for name, groups in outcomes.items():
        together += groups.tell(name)
    mixed = learn(together)
    objectives = None if mixed is None else ObjectiveTrees(mixed, frozenset(outcomes))
    return _ReRankers(trees, objectives, lessons)


def _do_help(rows: Groups, clicks: Groups, learn: Callable[[Groups], Trees | None]) -> bool:
    """Whether what rows taught orders later clicks, of visits and of rows, better than without.

    On simulated shoppers it made orders worse about as often as better: what is not better is left out.
    """
    if not len(rows.sizes):
        return False
    (known, later), (seen, seen_later) = clicks.split(HELD_FROM), rows.split(HELD_FROM)
    without, beside = learn(known), learn(known + seen)
    if without is None or beside is None:
        return False
    held_out = later + seen_later
    return mean_reciprocal_rank(beside, held_out) > mean_reciprocal_rank(without, held_out)


def _lessons(cases: Iterable[Case]) -> Iterator[Lesson]:
    return (Lesson(case.events, case.right) for case in cases)


def _json(strings: Sequence[str]) -> str:
    return msgspec.json.encode(strings).decode()


def _describe(parameters: Parameters) -> dict[str, object]:
    return {
        "item2vec": asdict(parameters.item2vec),
        "lambdarank": asdict(parameters.lambdarank),
        "newest": parameters.newest,
        "nearest": parameters.nearest,
        "rank_share": parameters.rank_share,
    }
