"""From candidates to a row: length, turns, diversity, brands; and the words that explain it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas.live import Reason
from schemas.products import Product
from schemas.sessions import KIND_OF, SessionEvent
from schemas.vectors import Layout
from services.product_numbers import UNKNOWN, ProductNumbers
from services.recommender.index.port import Hit
from services.recommender.pipeline import diversity
from services.recommender.pipeline.candidate_list import CandidateList
from services.recommender.pipeline.diversity import CandidateTraits, RankedProduct, RowLimits
from services.recommender.pipeline.explanation import cause_of, likeness, say, withhold
from services.vector_replica import STEPS

LAYOUT = Layout.of(text_width=4, image_width=4)


def hits(*names: str) -> list[Hit]:
    """Best first."""
    return [Hit(name, 1.0 - 0.01 * place) for place, name in enumerate(names)]


def unlike(count: int) -> np.ndarray:
    """Vectors of products that have nothing in common."""
    return np.eye(count, dtype=np.float32)


def interleave(
    found: list[list[Hit]],
    weights: list[float],
    vectors: np.ndarray,
    brands: dict[str, str | None],
    limits: RowLimits,
    *,
    is_soft: bool = False,
) -> list[RankedProduct]:
    """Of products by name, each candidate with a vector of its own."""
    numbers, hits = ProductNumbers(), [hit for each in found for hit in each]
    names = [*dict.fromkeys(brands.get(hit.product_id) for hit in hits)]
    codes = [UNKNOWN if (brand := brands.get(hit.product_id)) is None else names.index(brand) for hit in hits]
    traits = CandidateTraits(
        np.array(codes, dtype=np.int32),
        np.rint(np.clip(vectors, -1, 1) * STEPS).astype(np.int16),
        np.arange(len(hits), dtype=np.int32),
        1 / STEPS**2,
    )
    lists = [CandidateList.of(each, numbers) for each in found]
    chosen = diversity.interleave(lists, weights, traits, limits, is_soft=is_soft)
    return [RankedProduct(hits[place].product_id, 0, hits[place].score, origin) for place, origin in chosen]


def pick(*names: str, k: int, brands: dict[str, str | None] | None = None, brand_max: int = 99) -> list[str]:
    rules = RowLimits(k=k, diversity=0.0, brand_max=brand_max)
    chosen = interleave([hits(*names)], [1.0], unlike(len(names)), brands or {}, rules)
    return [each.product_id for each in chosen]


def test_without_diversity_the_best_come_first() -> None:
    assert pick("a", "b", "c", k=2) == ["a", "b"]


def test_fewer_candidates_make_a_shorter_row() -> None:
    assert pick("a", k=5) == ["a"]
    assert interleave([], [], np.zeros((0, 3), dtype=np.float32), {}, RowLimits(3, 0.2, 2)) == []


def test_a_brand_gets_no_more_than_its_share() -> None:
    brands: dict[str, str | None] = {"a": "x", "b": "x", "c": "x", "d": "y", "e": None, "f": None}
    assert pick("a", "b", "c", "d", "e", "f", k=5, brands=brands, brand_max=2) == ["a", "b", "d", "e", "f"]


def test_where_nothing_else_is_left_a_soft_row_goes_on_with_the_brand_list_by_list() -> None:
    brands: dict[str, str | None] = {"a": "x", "b": "x", "c": "x", "d": "y", "e": "x", "f": None}
    found = [hits("a", "b", "c", "d"), hits("c", "e", "f")]
    for k, expected in ((3, "adb"), (4, "adbc"), (6, "adbcfe"), (9, "adbcfe")):
        rules = RowLimits(k, diversity=0.0, brand_max=1)
        chosen = interleave(found, [1.0, 0.0], unlike(7), brands, rules, is_soft=True)
        assert "".join(each.product_id for each in chosen) == expected
    hard = interleave(found, [1.0, 0.0], unlike(7), brands, RowLimits(9, 0.0, 1))
    assert "".join(each.product_id for each in hard) == "adf"


def test_interests_take_turns_by_their_weights() -> None:
    found = [hits("a", "b", "c", "d", "e", "f"), hits("u", "v", "w", "x")]
    chosen = interleave(found, [2.0, 1.0], unlike(10), {}, RowLimits(k=6, diversity=0.0, brand_max=9))
    assert [each.origin for each in chosen].count(0) == 4
    assert [each.product_id for each in chosen if each.origin == 1] == ["u", "v"]


def test_a_product_that_two_interests_found_is_shown_once() -> None:
    chosen = interleave([hits("a", "b"), hits("a", "c")], [1.0, 1.0], unlike(4), {}, RowLimits(4, 0.0, 9))
    assert sorted(each.product_id for each in chosen) == ["a", "b", "c"]


def test_diversity_prefers_what_is_unlike_the_row() -> None:
    alike = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    found = [[Hit("a", 1.0), Hit("twin", 0.99), Hit("other", 0.8)]]
    plain = interleave(found, [1.0], alike, {}, RowLimits(2, 0.0, 9))
    diverse = interleave(found, [1.0], alike, {}, RowLimits(2, 0.4, 9))
    assert [each.product_id for each in plain] == ["a", "twin"]
    assert [each.product_id for each in diverse] == ["a", "other"]


candidate_lists = st.lists(
    st.lists(st.integers(0, 30).map(str), max_size=12, unique=True).map(lambda names: hits(*names)),
    min_size=1,
    max_size=3,
)


@given(candidate_lists, st.integers(1, 12), st.floats(0, 1), st.integers(1, 3))
def test_a_row_is_as_long_as_its_rules_allow(
    found: list[list[Hit]], k: int, diversity: float, brand_max: int
) -> None:
    everything = {hit.product_id for each in found for hit in each}
    brands: dict[str, str | None] = {name: f"brand {int(name) % 4}" for name in everything}
    vectors = np.random.default_rng(1).normal(size=(sum(map(len, found)), 5)).astype(np.float32)
    chosen = interleave(found, [1.0] * len(found), vectors, brands, RowLimits(k, diversity, brand_max))
    names = [each.product_id for each in chosen]
    per_brand = {brand: sum(brands[name] == brand for name in names) for brand in brands.values()}
    possible = sum(
        min(brand_max, sum(brands[name] == brand for name in everything)) for brand in set(brands.values())
    )
    assert len(names) == len(set(names)) == min(k, possible)
    assert all(count <= brand_max for count in per_brand.values())


def product(**fields: object) -> Product:
    known = {
        "product_id": "p",
        "name": "Bay red hat",
        "price": 1.0,
        "currency": "EUR",
        "availability": "in_stock",
        "updated_at": 0,
    }
    return Product(**known | fields)  # type: ignore[arg-type]


def test_a_reason_names_what_the_shopper_did() -> None:
    bought = SessionEvent(1, b"e", "p", KIND_OF["purchase"])
    for kind in ("co_visited", "content"):
        reason = Reason(kind=kind, cause=cause_of(bought), product_id="p", visits=3)
        assert say(reason, lambda _product_id: product()) == "because you bought Bay red hat"
        assert say(reason, lambda _product_id: None) == "because of what you looked at"


def test_of_an_event_that_is_not_the_visitor_s_for_certain_nothing_is_told() -> None:
    bought = SessionEvent(1, b"e", "p", KIND_OF["purchase"])
    reason = Reason(kind="co_visited", strength=0.5, cause=cause_of(bought), product_id="p", visits=3)
    assert withhold(reason, None) == withhold(reason, frozenset({("purchase", "p", 1)})) == reason
    left = withhold(reason, frozenset({("view_item", "p", 1)}))
    assert left == Reason(kind="co_visited", strength=0.5)
    assert say(left, lambda _product_id: product()) == "picked for you"


def test_likeness_names_the_part_that_counts_most() -> None:
    vector = np.zeros(LAYOUT.width, dtype=np.float32)
    vector[LAYOUT.slices["brand"].start] = 1.0
    assert likeness(vector, vector, product(brand="Alma"), LAYOUT) == "also by Alma"
    assert likeness(vector, vector, product(), LAYOUT) == "similar in many ways"
