"""What the shop's rules do to rows: what is blocked, moved and pinned, where and when."""

from collections.abc import Sequence
from time import perf_counter

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.products import Product
from schemas.rules import Rule
from services.recommender.index.port import AVAILABLE, Where
from services.recommender.pipeline.merchandising import (
    FACTOR_MAX,
    ActiveRules,
    RuleSchedule,
    apply_boosts,
    apply_pins,
)


def product(product_id: str = "p1", **fields: object) -> Product:
    made = Product(
        product_id=product_id,
        name="A boot",
        price=10.0,
        currency="EUR",
        availability="in_stock",
        updated_at=1,
        category=("Women", "Shoes"),
        brand="Ilse",
        tags=("red", "wool"),
    )
    return msgspec.structs.replace(made, **fields)


def book(*rules: Rule) -> RuleSchedule:
    made = RuleSchedule()
    for rule in rules:
        made.put(rule.rule_id, rule)
    return made


def now(*rules: Rule, slot: str = "top", kind: str = "for_you", at: float = 1000) -> ActiveRules:
    return book(*rules).active_rules(slot, kind, at)


def boost(rule_id: str, factor: float = 2.0, **fields: object) -> Rule:
    return msgspec.structs.replace(Rule(rule_id=rule_id, action="boost", factor=factor), **fields)


def block(rule_id: str, **fields: object) -> Rule:
    return msgspec.structs.replace(Rule(rule_id=rule_id, action="block"), **fields)


def pin(rule_id: str, position: int, *products: str) -> Rule:
    return Rule(rule_id=rule_id, action="pin", position=position, products=products)


# The book.


def test_without_rules_nothing_is_in_force_and_nothing_changes() -> None:
    found = now()
    where = Where(availability=AVAILABLE)
    assert found.empty
    assert found.where(where) is where
    assert (found.factor(product()), found.ids(product()), found.pins) == (1.0, (), ())
    assert book().next_change(0) is None


def test_the_later_message_counts_and_a_tombstone_removes() -> None:
    rules = book(boost("a", 2, brands=("Ilse",)))
    assert rules.put("a", boost("a", 3, brands=("Ilse",)))
    assert rules.active_rules("top", "for_you", 0).factor(product()) == pytest.approx(3)
    assert rules.put("a", None)
    assert rules.active_rules("top", "for_you", 0).empty
    assert not rules.put("a", None)


def test_a_note_or_a_time_stamp_changes_no_row_but_is_kept() -> None:
    rule = boost("a", brands=("Ilse",))
    rules = book(rule)
    assert not rules.put("a", msgspec.structs.replace(rule, note="why", updated_at=5))
    assert rules.get("a") == msgspec.structs.replace(rule, note="why", updated_at=5)


def test_rules_are_told_sorted_by_id() -> None:
    assert [rule.rule_id for rule in book(pin("b", 1, "x"), pin("a", 1, "x")).rules] == ["a", "b"]


def test_who_watches_hears_of_every_message_until_it_stops_watching() -> None:
    rules, heard = book(), list[int]()
    with rules.watch(lambda: heard.append(len(rules))):
        rules.put("a", boost("a", brands=("Ilse",)))
        rules.put("a", None)
    rules.put("b", boost("b", brands=("Ilse",)))
    assert heard == [1, 0]


Windows = st.lists(
    st.tuples(st.none() | st.integers(0, 20), st.none() | st.integers(0, 20)), min_size=1, max_size=6
)


@given(Windows, st.lists(st.integers(-1, 21), min_size=1))
def test_a_rule_holds_in_its_window_whatever_was_asked_before(
    windows: list[tuple[int | None, int | None]], moments: list[int]
) -> None:
    rules = [
        block(f"r{number}", products=(f"p{number}",), starts_at=start, ends_at=end)
        for number, (start, end) in enumerate(windows)
    ]
    asked = book(*rules)
    for moment in moments:
        asked.next_change(moment + 0.5)  # whatever else is asked between
        asked.next_change(moment)
        hidden = asked.active_rules("s", "k", moment).where(Where()).exclude
        assert hidden == {rule.products[0] for rule in rules if rule.holds(moment)}


@given(Windows, st.integers(-1, 21))
def test_until_the_next_change_nothing_changes_and_then_something_may(
    windows: list[tuple[int | None, int | None]], moment: int
) -> None:
    rules = [
        block(f"r{number}", products=(f"p{number}",), starts_at=start, ends_at=end)
        for number, (start, end) in enumerate(windows)
    ]
    edges = {edge for window in windows for edge in window if edge is not None and edge > moment}
    assert book(*rules).next_change(moment) == (min(edges) if edges else None)


def test_a_slot_is_named_or_of_a_kind_and_no_slot_means_all() -> None:
    rule = block("a", products=("p1",), slots=("top", "similar"))
    assert not now(rule, slot="top", kind="for_you").empty
    assert not now(rule, slot="beside", kind="similar").empty
    assert now(rule, slot="beside", kind="for_you").empty
    assert not now(block("a", products=("p1",)), slot="beside", kind="for_you").empty


def test_names_that_pages_make_up_do_not_fill_the_memory() -> None:
    rules = book(block("a", products=("p1",), slots=("top",)))
    for number in range(1000):
        rules.active_rules(f"slot {number}", "for_you", 0)
    assert len(rules._in_force) <= 2


def test_asking_is_cheap() -> None:
    for rules, limit_us in (
        (book(), 5.0),
        (book(*(boost(f"r{n}", brands=("x",)) for n in range(500))), 20.0),
    ):
        rules.active_rules("top", "for_you", 0)
        best = min(_took(rules) for _ in range(5))
        assert best * 1e6 < limit_us


def _took(rules: RuleSchedule) -> float:
    started = perf_counter()
    for _ in range(1000):
        rules.active_rules("top", "for_you", 1.0)
    return (perf_counter() - started) / 1000


# Blocks.


@pytest.mark.parametrize(
    "named",
    [
        {"products": ("p1",)},
        {"brands": ("Ilse",)},
        {"categories": ("Women",)},
        {"categories": ("Women/Shoes",)},
        {"categories": ("Women/Shoes/",)},
        {"tags": ("wool",)},
    ],
)
def test_a_block_by_any_name_of_a_product_is_a_hard_filter(named: dict[str, tuple[str, ...]]) -> None:
    where = now(block("a", **named)).where(Where(availability=AVAILABLE))
    assert not where.allows(product())
    other = product("p2", brand="Bo", category=("Women's", "Bags"), tags=("silk",))
    assert where.allows(other)


def test_blocks_are_added_to_what_the_request_leaves_out() -> None:
    asked = Where(exclude=frozenset({"seen"}), without_brand=frozenset({"Bo"}))
    where = now(block("a", products=("p1",), brands=("Ilse",))).where(asked)
    assert where.exclude == {"seen", "p1"}
    assert where.without_brand == {"Bo", "Ilse"}


# Boosts and buries.


def test_boosts_multiply_buries_divide_and_each_rule_counts_once() -> None:
    twice = boost("a", 3, brands=("Ilse",), tags=("red", "wool"), categories=("Women", "Women/Shoes"))
    bury = Rule(rule_id="b", action="bury", factor=2, products=("p1",))
    found = now(twice, bury, boost("c", 7, brands=("Bo",)))
    assert found.factor(product()) == pytest.approx(1.5)
    assert found.ids(product()) == ("a", "b")
    assert found.factors([product(), product("p2", brand="Bo", tags=(), category=())]).tolist() == [1.5, 7.0]


@pytest.mark.parametrize(("action", "most"), [("boost", FACTOR_MAX), ("bury", 1 / FACTOR_MAX)])
def test_a_thousand_rules_on_one_product_still_make_a_number(action: str, most: float) -> None:
    many = [
        msgspec.structs.replace(boost(f"r{number}", 100, brands=("Ilse",)), action=action)
        for number in range(1000)
    ]
    assert now(*many).factor(product()) == pytest.approx(most)


def test_a_product_that_changes_is_looked_at_anew() -> None:
    found = now(boost("a", 3, tags=("sale",)))
    assert found.factor(product()) == 1
    assert found.factor(product(tags=("sale",))) == pytest.approx(3)
    assert found.ids(product()) == ()


def test_a_factor_of_one_moves_nothing() -> None:
    assert now(boost("a", 1, brands=("Ilse",))).empty


def order(scores: Sequence[float], **factors: float) -> list[int]:
    """Places after the rules; `p3=2.0` boosts the third of the list by 2."""
    given = np.ones(len(scores), dtype=np.float32)
    for name, factor in factors.items():
        given[int(name[1:])] = factor
    found = apply_boosts(np.array(scores, dtype=np.float32), given)
    return [int(place) for place in np.argsort(-found, kind="stable")]


COSINES = [0.9 - 0.01 * place for place in range(40)]
LOG_ODDS = [-0.5 - 0.2 * place for place in range(40)]
COUNTS = [1000 / (place + 1) ** 2 for place in range(40)]
ALIKE = [0.0] * 40


@pytest.mark.parametrize("scores", [COSINES, LOG_ODDS, COUNTS], ids=["cosines", "log odds", "counts"])
def test_a_factor_divides_the_place_whatever_scores_mean(scores: list[float]) -> None:
    assert order(scores, p19=2.0).index(19) == 9
    assert order(scores, p9=0.5).index(9) == 19
    assert (
        19 <= order(scores, p39=2.0).index(39) < 35
    )  # relevance is heard: the last does not become the first
    assert order(scores, p39=100.0)[0] == 39
    assert order(scores, p0=0.01)[-1] == 0


def test_a_boost_by_two_does_not_cross_a_gap_in_relevance() -> None:
    shoes_then_lamps = [0.9 - 0.01 * place for place in range(20)] + [
        0.3 - 0.01 * place for place in range(20)
    ]
    every_lamp = {f"p{place}": 2.0 for place in range(20, 40)}
    assert order(shoes_then_lamps, **every_lamp) == [*range(40)]
    assert order(shoes_then_lamps, p30=2.0)[20] == 30
    assert order(shoes_then_lamps, p30=100.0)[0] == 30


def test_rules_act_where_all_scores_are_alike() -> None:
    assert order(ALIKE, p7=2.0)[0] == 7
    assert order(ALIKE, p7=0.5)[-1] == 7


def test_products_without_rules_keep_their_scores_however_high_others_are_moved() -> None:
    scores = np.array(COSINES, dtype=np.float32)
    factors = np.ones(40, dtype=np.float32)
    factors[39] = 100
    found = apply_boosts(scores, factors)
    assert np.allclose(found[:39], scores[:39], atol=1e-3)
    assert found[39] <= scores[0] + (scores[0] - scores[39])


def test_nothing_and_one_product_are_lists_too() -> None:
    assert apply_boosts(np.zeros(0, np.float32), np.zeros(0, np.float32)).tolist() == []
    assert np.isfinite(apply_boosts(np.zeros(1, np.float32), np.full(1, 3, np.float32))).all()


Tenths = st.integers(-10_000, 10_000).map(lambda tenths: tenths / 10)
Scores = st.lists(Tenths | st.sampled_from([0.0, 1.0]), min_size=1, max_size=30)


@given(Scores)
def test_factors_of_one_change_nothing(scores: list[float]) -> None:
    given_ = np.array(scores, dtype=np.float32)
    assert apply_boosts(given_, np.ones_like(given_)).tolist() == given_.tolist()


@given(Scores, st.data())
def test_the_order_follows_scores_and_factors(scores: list[float], data: st.DataObject) -> None:
    factor = st.sampled_from([0.01, 0.5, 1.0, 1.5, 2.0, 100.0])
    factors = data.draw(st.lists(factor, min_size=len(scores), max_size=len(scores)))
    found = apply_boosts(np.array(scores, dtype=np.float32), np.array(factors, dtype=np.float32))
    assert np.isfinite(found).all()
    for one in range(len(scores)):
        for other in range(len(scores)):
            no_worse = scores[one] >= scores[other] and factors[one] >= factors[other]
            if no_worse and (scores[one], factors[one]) != (scores[other], factors[other]):
                assert found[one] > found[other]


# Pins.


def test_pins_stand_in_the_order_of_their_places_then_of_their_rules() -> None:
    found = now(pin("b", 2, "x", "y"), pin("a", 2, "z", "x"))
    assert found.pins == ((2, "z", "a"), (2, "x", "b"), (3, "y", "b"))


def row(pins: Sequence[tuple[int, str]], k: int = 5, of: str = "abcde") -> str:
    return "".join(apply_pins(of, pins, k, key=str.lower))


def test_a_pin_takes_its_place_and_the_others_go_on_behind_it() -> None:
    assert row([(2, "X")]) == "aXbcd"
    assert row([(1, "X"), (5, "Y")]) == "XabcY"


def test_what_is_in_the_row_already_is_moved_and_not_doubled() -> None:
    assert row([(1, "D")]) == "Dabce"
    assert row([(4, "A")]) == "bcdAe"


def test_of_two_pins_on_one_place_the_second_stands_behind() -> None:
    assert row([(2, "X"), (2, "Y"), (3, "Z")]) == "aXYZb"


def test_a_pin_beyond_the_row_changes_nothing_and_a_short_row_ends_with_it() -> None:
    assert row([(9, "C")]) == "abcde"
    assert row([(5, "X")], of="ab") == "abX"
    assert row([(5, "X"), (5, "C")]) == "abcdX"  # pushed out of the row, so it stays where it was


@given(
    st.lists(st.integers(0, 30), unique=True, max_size=20),
    st.lists(st.tuples(st.integers(1, 20), st.integers(0, 40)), max_size=12).map(sorted),
    st.integers(1, 20),
)
def test_a_row_with_pins_is_full_free_of_doubles_and_keeps_its_order(
    of: list[int], pins: list[tuple[int, int]], k: int
) -> None:
    of = of[:k]
    found = apply_pins(of, pins, k, key=lambda each: each)
    assert len(set(found)) == len(found)
    assert min(k, len(of)) <= len(found) <= k
    pinned = {each for _, each in pins}
    assert set(found) <= pinned | set(of)
    rest = [each for each in found if each not in pinned]
    assert rest == [each for each in of if each not in pinned][: len(rest)]
    if pins and pins[0][0] <= min(k, 1 + len(rest)):  # others enough stand before it
        assert found[pins[0][0] - 1] == pins[0][1]
    free = [place for place, _ in pins]
    if len(set(free)) == len(free) and len({each for _, each in pins}) == len(pins) and len(of) == k:
        assert all(found[place - 1] == each for place, each in pins if place <= k)
