"""What a model is measured by: the next product after the first ones of sessions it has not seen."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.objectives import ObjectiveName
from schemas.sessions import AGAINST, KIND_OF, SessionEvent
from schemas.times import DAY_MS
from services.model.session import Tuning, merge_events
from services.trainer.sessions import Histories

CASES_MAX: Final = 20_000  # at 20,000 a share is known to ± 0.7 % (two standard errors)
EVENT_MS: Final = 1_000  # between events whose times nobody knows
SHARE: Final = 0.1  # held out where the last day is too much


@dataclass(frozen=True, slots=True)
class Case:
    """Which product comes after `prefix`? The prefix is never empty. `also` are as right as the target.

    `times` (Unix ms) and `kinds` (places in KINDS) are those of the prefix's events; where they are not
    given, the events are views, a second apart.
    """

    prefix: tuple[str, ...]
    target: str
    times: tuple[int, ...] = ()
    kinds: tuple[int, ...] = ()
    also: tuple[str, ...] = ()

    @property
    def right(self) -> frozenset[str]:
        """All right answers."""
        return frozenset((self.target, *self.also))

    @property
    def events(self) -> tuple[SessionEvent, ...]:
        """The prefix as a live session remembers it, with ids of no meaning but their order."""
        times = self.times or range(0, EVENT_MS * len(self.prefix), EVENT_MS)
        kinds = self.kinds or (KIND_OF["view_item"],) * len(self.prefix)
        return tuple(
            SessionEvent(time, number.to_bytes(16), product, kind)
            for number, (time, product, kind) in enumerate(zip(times, self.prefix, kinds, strict=True))
        )

    def remember(self, tuning: Tuning) -> tuple[SessionEvent, ...]:
        """What the live session would hold of these events."""
        return merge_events((), list(self.events), tuning)


@dataclass(frozen=True, slots=True)
class Split:
    """What to learn from, and what to measure by: the next product, and what comes of carts and purchases."""

    training: Histories
    cases: tuple[Case, ...]
    outcomes: Mapping[ObjectiveName, tuple[Case, ...]] = field(default_factory=dict)

    @property
    def begins(self) -> int:
        """When the first case's session began, Unix ms; 0 without cases."""
        return min((case.times[0] for case in self.cases), default=0)


def last_day(histories: Histories, cases_max: int = CASES_MAX, after: int | None = None) -> Split:
    """Holds out the sessions that end in the last 24 h; where that is over half, the newest tenth.

    Each of their events but the first is a case, where it is no removal from a cart and its product occurs
    in the training sessions, for nobody can foresee a new product; of more than `cases_max` some, evenly
    spread. With `after` (Unix ms) only sessions that begin later give cases. No sessions give no cases.

    `outcomes` are of the same sessions, what OUTCOMES has for each objective, of OUTCOMES_MAX at most.
    """
    if histories.sessions == 0:
        return Split(histories, ())
    first = int(np.searchsorted(histories.ends, histories.ends[-1] - DAY_MS, side="right"))
    if first < histories.sessions / 2:
        first = int(np.ceil(histories.sessions * (1 - SHARE)))
    training = histories.part(0, first)
    known = frozenset(training.products)
    held = np.arange(histories.sessions) >= first
    if after is not None:
        held &= histories.times[histories.starts[:-1]] > after
    is_held = np.repeat(held, np.diff(histories.starts))
    cases = tuple(cases_at(histories, _foreseeable(histories, known) & is_held, cases_max))
    outcomes = {
        name: tuple(outcome_cases(histories, is_held, kinds, OUTCOMES_MAX, known))
        for name, kinds in OUTCOMES.items()
    }
    return Split(training, cases, outcomes)


# What comes of a session for an objective other than the next click: what is put into the cart, or bought,
# by its end, as the OTTO challenge asks for it (RecSys 2022). What is bought was in the cart.
OUTCOMES: Final[Mapping[ObjectiveName, tuple[int, ...]]] = MappingProxyType(
    {"cart": (KIND_OF["add_to_cart"], KIND_OF["purchase"]), "buy": (KIND_OF["purchase"],)}
)
OUTCOMES_MAX: Final = 5_000


def outcome_cases(
    histories: Histories,
    counts: npt.NDArray[np.bool_],
    kinds: Collection[int],
    most: int,
    known: Collection[str] | None = None,
) -> Iterator[Case]:
    """Beginnings of sessions in whose rest events of these kinds come: which products are they about?

    Each of the events of which `counts` (n,) is true ends a beginning, but a session's first; of more than
    `most` some, evenly spread. Of products that are not `known` nobody can tell.
    """
    is_outcome = np.isin(histories.types, [*kinds])
    if known is not None:
        is_outcome &= np.array([product in known for product in histories.products], np.bool_)[
            histories.items
        ]
    places = np.arange(len(histories.items))
    lasts = np.maximum.reduceat(np.where(is_outcome, places, -1), histories.starts[:-1])
    to_come = places <= np.repeat(lasts, np.diff(histories.starts))
    for case, place, end in _cases(histories, counts & continuing(histories) & to_come, most):
        rest = slice(place, end)
        about = histories.items[rest][is_outcome[rest]].tolist()
        target, *also = dict.fromkeys(histories.products[item] for item in about)
        yield replace(case, target=target, also=tuple(also))


def _foreseeable(histories: Histories, known: frozenset[str]) -> npt.NDArray[np.bool_]:
    """Which events can be cases. What speaks against a product is nothing to foretell."""
    is_known = np.array([product in known for product in histories.products], dtype=np.bool_)
    counts = continuing(histories)
    counts &= is_known[histories.items]
    counts &= ~np.isin(histories.types, AGAINST)
    return counts


def continuing(histories: Histories) -> npt.NDArray[np.bool_]:
    """(n,) which events have some before them in their session."""
    counts = np.ones(len(histories.items), dtype=np.bool_)
    counts[histories.starts[:-1]] = False
    return counts


def cases_at(histories: Histories, counts: npt.NDArray[np.bool_], most: int) -> Iterator[Case]:
    """The events of which `counts` (n,) is true as cases, in order: all, or `most` evenly spread.

    They must be events that continue a session.
    """
    return (case for case, _, _ in _cases(histories, counts, most))


def _cases(histories: Histories, counts: npt.NDArray[np.bool_], most: int) -> Iterator[tuple[Case, int, int]]:
    """Each with the place of its target, and that after the session's last event."""
    places = np.flatnonzero(counts)
    if len(places) > most:
        places = places[np.linspace(0, len(places) - 1, most).astype(np.int64)]
    sessions = np.searchsorted(histories.starts, places, side="right") - 1
    begins, ends = histories.starts[sessions], histories.starts[sessions + 1]
    for begin, place, end in zip(begins.tolist(), places.tolist(), ends.tolist(), strict=True):
        yield case_at(histories, begin, place), place, end


def case_at(histories: Histories, begin: int, place: int) -> Case:
    """The event at `place` as the target after those of its session, which begins at `begin`."""
    products = histories.products
    return Case(
        tuple(products[item] for item in histories.items[begin:place].tolist()),
        products[histories.items[place]],
        tuple(histories.times[begin:place].tolist()),
        tuple(histories.types[begin:place].tolist()),
    )
