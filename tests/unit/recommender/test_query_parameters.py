"""The parameters of rows: filters, weights in both forms, and what is refused with which name."""

from math import inf, nan

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.model.content import PROFILES
from services.recommender.api.errors import BadWeight, UnknownParameter, WrongObjective
from services.recommender.api.parameters import (
    FILTERS,
    WEIGHT_MAX,
    RowParameters,
    require_known,
    weight_names,
)
from services.recommender.index.port import AVAILABLE, Where


def read_refusal(text: str, kind: str = "similar") -> BadWeight:
    with pytest.raises(BadWeight) as caught:
        RowParameters(weights=text).weights_of(kind)
    return caught.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("brand:0.2", {"brand": 0.2}),
        ("category:1,brand:-0.2", {"category": 1.0, "brand": -0.2}),
        (" category : 1 , , brand : 2 ,", {"category": 1.0, "brand": 2.0}),
        ("brand:1,brand:3", {"brand": 3.0}),
        ("brand:1e1", {"brand": 10.0}),
        ("{}", {}),
        ('{"brand": 0.2, "category": -10}', {"brand": 0.2, "category": -10.0}),
        (' {"brand": 2}', {"brand": 2.0}),
    ],
)
def test_weights_are_pairs_or_a_json_object(text: str, expected: dict[str, float]) -> None:
    assert RowParameters(weights=text).weights_of("similar") == expected


def test_an_objective_is_a_mixture_and_nonsense_is_refused() -> None:
    assert RowParameters(objective="buy:3,click:1").given_objective == {"buy": 0.75, "click": 0.25}
    assert RowParameters().given_objective is None
    with pytest.raises(WrongObjective, match="objective: 'money' is none of click, cart, buy") as caught:
        _ = RowParameters(objective="money").given_objective
    assert (caught.value.status, caught.value.kind) == (422, "bad-objective")


@given(st.dictionaries(st.sampled_from(weight_names()["search"]), st.floats(-WEIGHT_MAX, WEIGHT_MAX)))
def test_both_forms_say_the_same(weights: dict[str, float]) -> None:
    pairs = ",".join(f"{name}:{value!r}" for name, value in weights.items())
    for text in (pairs, msgspec.json.encode(weights).decode()):
        assert RowParameters(weights=text).weights_of("search") == weights


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("brnad:1", "brnad"),
        ("category:1,brnad:1", "brnad"),
        ('{"brnad": 1}', "brnad"),
        ("brand:much", "brand"),
        ("brand", "brand"),
        ("brand:", "brand"),
        (":1", ""),
        ("brand:nan", "brand"),
        ("brand:inf", "brand"),
        ("brand:-infinity", "brand"),
        ("brand:10.01", "brand"),
        ("brand:-11", "brand"),
        ('{"brand": 1e3}', "brand"),
        ("session:1", "session"),  # of searches only
    ],
)
def test_a_wrong_weight_is_refused_by_its_name_with_those_that_there_are(text: str, name: str) -> None:
    problem = read_refusal(text)
    assert problem.fields["weight"] == name
    assert repr(name) in problem.detail
    assert {"brand", "behaviour"} <= set(problem.fields["weights"])  # type: ignore[call-overload]
    assert problem.status == 422


@pytest.mark.parametrize(
    "text",
    ["{", "{brand: 1}", '{"brand": "1"}', '{"brand": null}', '{"brand": NaN}', '{"brand": 1e999}',
     '{"a": {}}', "{" * 900, '{"\\ud800": 1}', '{"brand": 1} x'],
)  # fmt: skip
def test_what_is_no_object_of_numbers_is_refused_with_what_is_wrong(text: str) -> None:
    problem = read_refusal(text)
    assert problem.status == 422
    assert len(problem.fields["weight"]) <= 100  # type: ignore[arg-type]


@given(st.text(max_size=200))
def test_any_text_is_weights_or_refused(text: str) -> None:
    try:
        found = RowParameters(weights=text).weights_of("search")
    except BadWeight:
        return
    assert found.keys() <= set(weight_names()["search"])
    assert all(abs(value) <= WEIGHT_MAX for value in found.values())


def test_every_weight_of_a_profile_can_be_given_and_session_in_searches_only() -> None:
    names = weight_names()
    for kind, profile in PROFILES.items():
        assert profile.keys() <= set(names[kind])
        assert ("session" in names[kind]) == (kind == "search")
    assert names["popular"]


def test_a_parameter_that_nobody_knows_is_refused_with_the_filters_that_there_are() -> None:
    require_known(["k", "brand", "q", "weights"], ["q"])
    with pytest.raises(UnknownParameter, match="'colour'") as caught:
        require_known(["k", "colour"], ["q"])
    assert caught.value.fields == {"parameter": "colour", "filters": list(FILTERS)}
    assert caught.value.status == 422
    with pytest.raises(UnknownParameter) as caught:
        require_known(["x" * 500])
    assert len(str(caught.value.fields["parameter"])) == 100
    assert not {"k", "weights", "diversity", "brand_max", "explain"} & set(FILTERS)


def test_parameters_become_hard_filters() -> None:
    assert RowParameters().where == Where(availability=AVAILABLE)
    given = RowParameters(
        price_min=1,
        price_max=2,
        category=["Women/Shoes/", "Men", ""],
        brand=["Ilse", ""],
        type=["boot"],
        tag=["red", "wool"],
        market=["CH"],
        without_category=["Women/"],
        without_brand=["Bo"],
        without_type=["hat"],
        without_tag=["sale"],
        in_stock=False,
        exclude=["p1", "p1", "p2"],
    )
    assert given.where == Where(
        price_min=1,
        price_max=2,
        category=frozenset({"Women/Shoes", "Men"}),
        brand=frozenset({"Ilse"}),
        type=frozenset({"boot"}),
        tag=frozenset({"red", "wool"}),
        market=frozenset({"CH"}),
        without_category=frozenset({"Women"}),
        without_brand=frozenset({"Bo"}),
        without_type=frozenset({"hat"}),
        without_tag=frozenset({"sale"}),
        exclude=frozenset({"p1", "p2"}),
    )


def test_an_empty_price_is_no_bound_and_a_bad_one_is_refused() -> None:
    assert RowParameters(price_min="", price_max="").where == RowParameters().where
    for bad in (-1, nan, inf, "cheap", " "):
        with pytest.raises(ValidationError):
            RowParameters(price_min=bad)
