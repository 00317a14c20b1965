"""What a visitor's variants change in a row, and that others' rows stay as they are."""

from typing import Any

import pytest

from schemas.live import SlotKind
from services.recommender.pipeline.experiments import Assignment
from tests.support.models import VERSION, behaviour
from tests.support.pipeline import PipelineShop, ids, product, sources

OTHER = "20241125T041507Z-5b0c"


async def test_a_variant_s_weights_are_those_of_its_kind_of_row_only(model_shop: PipelineShop) -> None:
    model_shop.treatments["a"] = Assignment(
        {"x": "b"}, _weights={"similar": {"brand": 9.0, "behaviour": 0.0}}
    )
    treated = await model_shop.ask("similar", 4, product_id="p0", visitor_id="a")
    assert {item.brand for item in treated.row} == {"Brand 0"}
    plain = await model_shop.ask("similar", 4, product_id="p0", visitor_id="b")
    assert plain.row == (await model_shop.ask("similar", 4, product_id="p0")).row
    assert plain.row != treated.row
    for kind in ("also_liked", "popular"):
        about = "p0" if kind == "also_liked" else None
        rows = [await model_shop.ask(kind, 4, product_id=about, visitor_id=each) for each in ("a", "b")]
        assert rows[0].row == rows[1].row


async def test_the_request_s_own_weights_beat_the_variant_s(model_shop: PipelineShop) -> None:
    model_shop.treatments["a"] = Assignment({"x": "b"}, _weights={"similar": {"brand": 9.0, "type": 0.0}})
    given = {"brand": 0.0, "type": 9.0, "behaviour": 0.0}
    made = await model_shop.ask("similar", 4, product_id="p0", visitor_id="a", weights=given)
    assert {product(int(each[1:])).type for each in ids(made)} == {product(0).type}


async def test_a_variant_s_weights_order_the_visitor_s_own_row_by_their_sum(model_shop: PipelineShop) -> None:
    session = model_shop.session("p0")
    model_shop.treatments["a"] = Assignment({"x": "b"}, _weights={"for_you": {"brand": 9.0}})
    treated = await model_shop.ask("for_you", 3, session=session, visitor_id="a")
    asked = await model_shop.ask("for_you", 3, session=session, weights={"brand": 9.0})
    assert treated.row == asked.row
    assert treated.row != (await model_shop.ask("for_you", 3, session=session)).row


async def test_a_variant_s_diversity_holds_unless_the_request_has_its_own(shop: PipelineShop) -> None:
    shop.treatments["a"] = Assignment({"x": "b"}, diversity=1.0)
    session = shop.session("p0")
    plain = await shop.ask("for_you", 6, session=session, diversity=0.0)
    diverse = await shop.ask("for_you", 6, session=session, visitor_id="a")
    assert diverse.row != plain.row
    assert diverse.row == (await shop.ask("for_you", 6, session=session, diversity=1.0)).row
    own = await shop.ask("for_you", 6, session=session, visitor_id="a", diversity=0.0)
    assert own.row == plain.row


async def test_a_variant_is_served_by_its_own_model_or_by_none(model_shop: PipelineShop) -> None:
    model_shop.lines["other"] = behaviour([["p0", "p7", "p8"]] * 3, version=OTHER)
    model_shop.treatments |= {
        "a": Assignment({"x": "other"}, model="other"),
        "b": Assignment({"x": "none"}, model=""),
        "c": Assignment({"x": "missing"}, model="not released yet"),
    }
    made = {
        visitor: await model_shop.ask("also_liked", 2, product_id="p0", visitor_id=visitor)
        for visitor in "abcd"
    }
    assert [made[visitor].model for visitor in "abcd"] == [OTHER, None, None, VERSION]
    assert set(ids(made["a"])) == {"p7", "p8"}
    assert set(ids(made["d"])) <= {"p1", "p2", "p4"}
    for visitor in "bc":
        assert (made[visitor].fallback, set(sources(made[visitor]).values())) == ("no_behaviour", {"popular"})


@pytest.mark.parametrize("kind", ["for_you", "similar", "popular", "search"])
async def test_a_row_names_its_visitor_s_variants(shop: PipelineShop, kind: SlotKind) -> None:
    shop.treatments["a"] = Assignment({"x": "b", "y": "a"})
    fields: dict[str, Any] = {"product_id": "p0"} if kind == "similar" else {}
    ask = shop.search if kind == "search" else None
    for visitor, names in (("a", {"x": "b", "y": "a"}), ("b", {}), (None, {})):
        made = await (ask(visitor_id=visitor) if ask else shop.ask(kind, 3, visitor_id=visitor, **fields))
        assert made.experiments == names


async def test_popular_rows_name_no_model_which_they_do_not_ask(model_shop: PipelineShop) -> None:
    assert (await model_shop.ask("popular", 3)).model is None
    assert (await model_shop.ask("similar", 3, product_id="p0")).model == VERSION
