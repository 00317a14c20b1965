"""What a row's order is for, as pages, rules and experiments write it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.experiments import Experiment, Variant
from schemas.experiments import check as check_experiment
from schemas.live import Slot, Subscribe
from schemas.live import check as check_subscription
from schemas.objectives import OBJECTIVE_MAX, OBJECTIVES, BadObjective, check, parse
from schemas.rules import Rule
from schemas.rules import check as check_rule

weights = st.dictionaries(st.sampled_from(OBJECTIVES), st.floats(0, 1e300), min_size=1)


@given(weights.filter(lambda told: any(told.values())))
def test_weights_become_parts_of_one(told: dict[str, float]) -> None:
    parts = parse(",".join(f" {name}: {weight!r} " for name, weight in told.items()))
    assert sum(parts.values()) == pytest.approx(1)
    assert all(0 < part <= 1 for part in parts.values())
    assert set(parts) <= {name for name, weight in told.items() if weight > 0}


def test_a_name_alone_counts_one() -> None:
    assert parse("buy") == {"buy": 1.0}
    assert parse("buy,click:3") == {"buy": 0.25, "click": 0.75}
    assert parse("buy:1,click:0") == parse("buy:0.2") == {"buy": 1.0}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "'' is none of click, cart, buy"),
        ("purchase:1", "'purchase' is none of click, cart, buy"),
        ("buy:0.7;click:0.3", "not '0.7;click:0.3'"),
        ("buy:", "buy needs a weight from 0 on, not ''"),
        ("buy:-1", "buy needs a weight from 0 on"),
        ("buy:nan", "needs a weight"),
        ("buy:1e999", "needs a weight"),
        ("buy:1,buy:1", "buy is there twice"),
        ("buy:0,click:0", "all weights are 0"),
        ("click," * 30, "more than 100 characters"),
    ],
)
def test_nonsense_is_refused_with_what_is_right(text: str, why: str) -> None:
    said = check(text)
    assert said is not None
    assert said.startswith("objective: ")
    assert why in said
    assert "such as buy:0.7,click:0.3" in said


@given(st.text(max_size=OBJECTIVE_MAX + 5))
def test_no_text_breaks_it(text: str) -> None:
    try:
        parts = parse(text)
    except BadObjective:
        assert check(text) is not None
    else:
        assert check(text) is None
        assert set(parts) <= set(OBJECTIVES)


def test_a_subscription_with_nonsense_is_refused_by_the_slot() -> None:
    def refuse(objective: str | None) -> str | None:
        return check_subscription(Subscribe(slots=(Slot(name="row", kind="for_you", objective=objective),)))

    assert refuse(None) is refuse("cart:2") is None
    assert refuse("money") == (
        "slot 'row': objective: 'money' is none of click, cart, buy; "
        "an objective is such as buy:0.7,click:0.3"
    )


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"objective": "buy"}, None),
        ({"objective": "buy", "slots": ("for_you",), "starts_at": 1, "ends_at": 2}, None),
        ({}, "a rule of the action objective says which"),
        ({"objective": "money"}, "'money' is none of"),
        ({"objective": "buy", "products": ("p1",)}, "an objective is for whole rows"),
        ({"objective": "buy", "tags": ("red",)}, "an objective is for whole rows"),
        ({"objective": "buy", "starts_at": 2, "ends_at": 2}, "ends_at must come after starts_at"),
        ({"action": "boost", "objective": "buy", "products": ("p1",)}, "has the action objective, not boost"),
    ],
)
def test_a_rule_names_an_objective_and_no_products(fields: dict[str, Any], why: str | None) -> None:
    found = check_rule(Rule(**{"rule_id": "r", "action": "objective"} | fields))
    assert found is None if why is None else why in (found or "")


def test_a_variant_with_nonsense_is_refused_by_its_place() -> None:
    def refuse(objective: str) -> str | None:
        variants = (Variant(name="a", share=0.5), Variant(name="b", share=0.5, objective=objective))
        return check_experiment(Experiment(name="x", variants=variants))

    assert refuse("buy:0.5,click:0.5") is None
    assert (refuse("buy:-1") or "").startswith("variants[1].objective: buy needs a weight from 0 on")
