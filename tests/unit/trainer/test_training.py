"""Learning and measuring on small made-up shops, by the code that serves."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from schemas.products import Product
from schemas.sessions import KIND_OF
from schemas.vectors import Layout
from services.model.artifact import ArtifactRefused
from services.model.behaviour import FEATURE_NAMES, PRODUCTS, Behaviour
from services.model.candidates import FEATURES
from services.model.forest import Trees
from services.progress import Silent
from services.trainer.cases import Case
from services.trainer.content import Contents
from services.trainer.evaluation import answers, evaluate
from services.trainer.objectives import measure_objectives
from services.trainer.sessions import Histories
from services.trainer.training import TrainedModel, fit, refit
from services.vector_replica import VectorReplica
from tests.benchmark.accuracy.models import store
from tests.support.training import SMALL, histories, shop

LAYOUT = Layout((("category", 4),))


def test_what_follows_what_is_learned(tmp_path: Path) -> None:
    trained = fit(histories(shop(400)), SMALL, Silent())
    cases = [Case((f"a{number}",), f"b{number}") for number in range(40)]
    metrics = evaluate(store(trained, tmp_path / "model"), cases, Silent())
    assert metrics.hr_20 == 1
    assert metrics.mrr_20 > 0.9
    assert metrics.cases == 40


def test_enough_sessions_teach_a_re_ranker_and_few_do_not() -> None:
    assert not Trees.are_in(fit(histories(shop(400)), SMALL, Silent()).arrays)
    assert Trees.are_in(fit(histories(shop(1000)), SMALL, Silent()).arrays)


def sales(count: int) -> Histories:
    """First comes a, then v, which all look at; then w, and x is bought."""
    sessions = [[f"{each}{number % 9}" for each in "avwx"] for number in range(count)]
    looks = histories(sessions)
    types = looks.types.copy()
    types[3::4] = KIND_OF["purchase"]
    return replace(looks, types=types)


@pytest.fixture(scope="module")
def sales_model() -> TrainedModel:
    """What is learned of 900 sales."""
    return fit(sales(900), SMALL, Silent())


def test_objectives_are_learned_apart_and_clicks_as_ever(sales_model: TrainedModel, tmp_path: Path) -> None:
    model = Behaviour.of(store(sales_model, tmp_path / "model"))
    assert model.missing({"click": 0.5, "cart": 0.25, "buy": 0.25}) == ()
    cases = [Case((f"a{number}",), f"x{number}") for number in range(9)]
    own, clicks = (
        answers(model, cases, Silent(), SMALL.tuning, objective={name: 1.0}).ranks.mean()
        for name in ("buy", "click")
    )
    assert own < clicks
    looked = replace(sales(900), types=np.full_like(sales(900).types, KIND_OF["view_item"]))
    plain = fit(looked, SMALL, Silent())
    assert not {name for name in plain.arrays if name.startswith("objective_")}
    assert all(np.array_equal(plain.arrays[name], sales_model.arrays[name]) for name in plain.arrays)
    without = Behaviour.of(store(sales_model.without(["buy"]), tmp_path / "without"))
    assert without.missing({"buy": 1.0}) == ("buy",)


def test_too_few_purchases_leave_the_order_to_clicks_and_say_so(tmp_path: Path) -> None:
    shoppers = sales(900)
    types = shoppers.types.copy()
    types[: len(types) * 97 // 100] = KIND_OF["view_item"]
    trained = fit(replace(shoppers, types=types), SMALL, Silent())
    model = Behaviour.of(store(trained, tmp_path / "model"))
    told = measure_objectives(model, trained.lessons, {}, lambda *_: (0.0, 0.0), cases_min=1)
    assert told["buy"].reason == f"{told['buy'].lessons} cases to learn from, 100 are needed: " + (
        "ordered as for clicks"
    )
    assert 0 < told["buy"].lessons < 100


@pytest.mark.parametrize(
    ("own", "reason"), [(0.4, "the order for clicks does better, and serves"), (0.6, None)]
)
def test_an_order_that_does_worse_than_that_for_clicks_is_left_out(
    own: float, reason: str | None, sales_model: TrainedModel, tmp_path: Path
) -> None:
    model = Behaviour.of(store(sales_model, tmp_path / "model"))
    cases = {"buy": [Case(("a1",), "x1")] * 3}
    told = measure_objectives(
        model,
        sales_model.lessons,
        cases,  # type: ignore[arg-type] # names are texts here
        lambda objective, _cases: (0.5, 0.5) if "click" in objective else (own, 0.5),
        cases_min=3,
    )
    assert told["buy"].reason == reason
    assert told["buy"].hr_20 == own


def test_growing_by_the_newest_day_keeps_the_re_ranker() -> None:
    trained = fit(histories(shop(1000)), SMALL, Silent())
    grown = refit(trained, histories([*shop(1000), ["new", "b1"]]), SMALL, Silent())
    assert "new" in grown.texts[PRODUCTS]
    assert np.array_equal(grown.arrays["trees_value"], trained.arrays["trees_value"])


@pytest.mark.parametrize(
    "sessions",
    [[["only"]], [["only", "only"]], [["a"], ["b"], ["c"]], [["ключ 1", "鍵"], ["with space", "鍵"]]],
    ids=["one item", "one item twice", "sessions of one event", "Unicode and spaces"],
)
def test_little_to_learn_from_is_a_model_too(sessions: list[list[str]], tmp_path: Path) -> None:
    model = store(fit(histories(sessions), SMALL, Silent()), tmp_path / "model")
    cases = [Case((sessions[0][0],), sessions[-1][-1]), Case(("unknown",), "unknown too")]
    metrics = evaluate(model, cases, Silent())
    assert 0 <= metrics.hr_20 <= 0.5
    assert metrics.coverage <= 1


def test_no_cases_are_measured_as_nothing(tmp_path: Path) -> None:
    model = store(fit(histories(shop(50)), SMALL, Silent()), tmp_path / "model")
    assert evaluate(model, [], Silent()).cases == 0


def test_a_product_nobody_clicked_is_found_by_its_content(tmp_path: Path) -> None:
    described = replica({"a1": (1, 0, 0, 0), "b1": (0, 1, 0, 0), "b1 in red": (0, 1, 0, 0)})
    contents = Contents(described, LAYOUT)
    trained = fit(histories(shop(400)), SMALL, Silent(), contents)
    model = store(trained, tmp_path / "model")
    metrics = evaluate(model, [Case(("a1",), "b1 in red")], Silent(), contents=contents)
    assert metrics.hr_20 == 1
    vectors = dict(zip(Behaviour.of(model).products, trained.arrays["item2vec_out"], strict=True))
    assert np.allclose(vectors["b1 in red"], vectors["b1"], atol=1e-4)


def replica(products: dict[str, tuple[float, ...]]) -> VectorReplica:
    found = VectorReplica(LAYOUT)
    for product_id, vector in products.items():
        product = Product(
            product_id=product_id, name=product_id, price=1, currency="EUR", category=("x",), updated_at=0,
            availability="in_stock",
        )  # fmt: skip
        found.put(product, np.array(vector, dtype=np.float16))
    return found


def test_an_artifact_for_other_code_is_refused_by_name(tmp_path: Path) -> None:
    trained = fit(histories(shop(50)), SMALL, Silent())
    fewer = trained.texts | {FEATURE_NAMES: str(list(FEATURES[:-1])).replace("'", '"')}
    model = store(replace(trained, texts=fewer), tmp_path / "model")
    with pytest.raises(ArtifactRefused, match=r"features\.json.*without the features content"):
        Behaviour.of(model)
