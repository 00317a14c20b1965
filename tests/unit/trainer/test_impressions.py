"""Rows that were seen become lessons: what was clicked, after what came before, beside what was left."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from schemas.events import EventType
from schemas.impressions import Shown, ShownItem
from services.archive.history_events import HistoryEvent
from services.model.propensity import SeenRow
from services.model.session import Tuning
from services.progress import Silent
from services.trainer.impressions import RowLesson, evenly, row_lessons
from services.trainer.lambdarank import Lesson
from services.trainer.sessions import Histories
from services.trainer.topic_history import EventColumns, GrowingColumns
from services.trainer.training import fit
from tests.support.training import SMALL, histories, shop

TUNING = Tuning()
MINUTE = 60_000


def columns(*told: tuple[str, EventType, str, int]) -> EventColumns:
    found = GrowingColumns(TUNING.type_weights)
    found.extend(
        HistoryEvent(
            event_id=f"{number:026d}", type=type_, visitor_id=visitor, occurred_at=at, product_id=product
        )
        for number, (visitor, type_, product, at) in enumerate(told)
    )
    return found.columns()


def rows(visitor: str, at: int, *, is_random: bool) -> Iterator[SeenRow]:
    """One row with a click on its fifth product, and many of others that tell how places are looked at."""
    random = np.random.default_rng(1)
    for number in range(400):
        products = [f"p{place}" for place in range(6)]
        chance = (0.5,) * 6 if is_random else (None,) * 6
        items = tuple(
            ShownItem(product_id=product, score=1.0, source="behaviour", propensity=propensity)
            for product, propensity in zip(products, chance, strict=True)
        )
        shown = Shown(
            recommendation_id=str(number),
            visitor_id=visitor if number == 0 else f"other-{number}",
            slot="for_you",
            kind="for_you",
            shown_at=at + number,
            items=items,
        )
        clicks = random.random(6) < 0.5 / np.arange(1, 7)
        clicked = {product for product, is_clicked in zip(products, clicks, strict=True) if is_clicked}
        yield SeenRow(shown, frozenset(products[:5]), frozenset({"p4"} if number == 0 else clicked))


def test_a_click_is_a_lesson_after_what_came_before() -> None:
    events = columns(
        ("a", "view_item", "p9", 3 * MINUTE),  # after the row
        ("a", "select_item", "p8", 0),
        ("a", "view_item", "p8", 1),
        ("a", "view_item", "p7", MINUTE),
        ("b", "view_item", "p6", MINUTE),
    )
    lessons = row_lessons([*rows("a", 2 * MINUTE, is_random=True)], events, TUNING)
    assert len(lessons) == 1  # of whom nothing is known before, nothing is learned
    [(lesson, at)] = [(each.lesson, each.shown_at) for each in lessons]
    assert at == 2 * MINUTE
    assert [event.product_id for event in lesson.events] == ["p8", "p7"]  # the click gave way to the view
    assert lesson.right == {"p4"}
    assert set(lesson.seen) == {"p0", "p1", "p2", "p3", "p4"}  # p5 was not seen: it is not wrong
    assert lesson.weight > 1  # a click where few look


def test_without_chance_there_are_no_lessons() -> None:
    events = columns(("a", "view_item", "p8", 0))
    assert row_lessons([*rows("a", 2 * MINUTE, is_random=False)], events, TUNING) == []


def trees(histories_: Histories, lessons: Sequence[RowLesson]) -> list[float]:
    return [*map(float, fit(histories_, SMALL, Silent(), impressions=lessons).arrays["trees_value"])]


def test_lessons_change_what_is_learned_only_where_the_first_model_does_not_know_them() -> None:
    past = histories(shop(1000))
    views = columns(("a", "view_item", "a1", 0))
    [lesson] = row_lessons([*rows("a", MINUTE, is_random=True)], views, TUNING)
    about = Lesson(lesson.lesson.events, frozenset({"b2"}), ("b1", "b2", "b3"), 2.0)
    early, late = ([RowLesson(at, about)] * 200 for at in (0, int(past.times.max()) + 1))
    plain = trees(past, [])
    assert trees(past, early) == plain
    assert trees(past, late) != plain


def test_lessons_that_later_clicks_contradict_change_nothing() -> None:
    past = histories(shop(1000))
    views = columns(("a", "view_item", "a1", 0))
    [lesson] = row_lessons([*rows("a", MINUTE, is_random=True)], views, TUNING)
    seen, at = ("b1", "b2", "b3"), int(past.times.max()) + 1
    right = ["b1"] * 160 + ["b3"] * 40  # what was clicked first is not what is clicked then
    found = [RowLesson(at, Lesson(lesson.lesson.events, frozenset({each}), seen, 2.0)) for each in right]
    assert trees(past, found) == trees(past, [])


@pytest.mark.parametrize(("count", "most"), [(0, 3), (3, 3), (10, 4), (10, 1)])
def test_a_part_is_spread_evenly(count: int, most: int) -> None:
    found = evenly(range(count), most)
    assert len(found) == min(count, most)
    assert list(found) == sorted(set(found))
