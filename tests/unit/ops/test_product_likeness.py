"""Why two products are near, which rules mean one, and what its events come to."""

import numpy as np
import pytest
from msgspec.structs import replace

from schemas import events
from schemas.events import Event, Item
from schemas.products import Product
from schemas.rules import Rule
from schemas.vectors import ProductVectors, encode, pack
from services.ops.inspect.product import summary
from services.ops.inspect.product import vectors as likeness
from services.ops.inspect.product.summary import ProductEvents
from services.ops.inspect.product.vectors import VectorTable
from services.time_range import TimeRange
from services.visitors.erasure import Erasures
from tests.support.interests import BOOTS, CATALOGUE, EMBEDDED, LAYOUT, content, product
from tests.support.messages import StoredMessage

BOOT = product(4, BOOTS)


def test_the_nearest_come_best_first_each_with_why() -> None:
    found = likeness.nearest(EMBEDDED, "boots-4", 5)
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    assert "boots-4" not in {each.product_id for each in found}
    first = found[0]
    assert first.product_id.startswith("boots-")
    assert first.why.startswith(("both in Women > Shoes > Boots, both boots", "both boots, both in Women"))
    assert sum(first.parts.values()) == pytest.approx(first.score, abs=0.002)
    assert likeness.nearest(EMBEDDED, "unknown", 5) == ()


def test_what_has_nothing_in_common_says_so() -> None:
    assert likeness.explain(BOOT, BOOT, {"brand": 0.01}) == "nothing of it stands out"


RULES = [
    Rule(rule_id="a-brand", action="boost", brands=("Ilse",), factor=3.0, slots=("for_you",)),
    Rule(rule_id="b-shelf", action="bury", categories=("Women/Shoes/",)),
    Rule(rule_id="c-later", action="block", tags=("blue",), starts_at=2_000),
    Rule(rule_id="d-pin", action="pin", products=("x", "boots-4"), position=3),
    Rule(rule_id="e-other", action="block", brands=("Tarn",), categories=("Women/Shoe",), tags=("red",)),
]


def test_rules_that_mean_a_product_are_told_with_what_they_name_it_by() -> None:
    found = summary.rules_on(RULES, BOOT, 1_000)
    assert [(each.rule_id, each.by, each.holds_now) for each in found] == [
        ("a-brand", ("brand Ilse",), True),
        ("b-shelf", ("category Women/Shoes",), True),
        ("d-pin", ("its id",), True),
        ("c-later", ("tag blue",), False),
    ]
    assert [(each.factor, each.position) for each in found] == [
        (3.0, None),
        (2.0, None),
        (None, 4),
        (None, None),
    ]


def letter(visitor: str, at: int = 5, **fields: object) -> StoredMessage:
    values = {"event_id": "00000000-0000-4000-8000-000000000001", "type": "view_item", "occurred_at": at}
    event = Event(**(values | {"visitor_id": visitor} | fields))  # type: ignore[arg-type]
    return StoredMessage(visitor.encode(), events.encode(event), at=at)


def test_events_about_a_product_are_counted_those_of_others_and_erased_visitors_are_not() -> None:
    found = ProductEvents("p1", Erasures({"gone": 100}))
    found.take(
        [
            letter("v", product_id="p1", recommendation_id="r"),
            letter("v", product_id="p1"),
            letter("w", at=9, type="purchase", items=(Item("p0"), Item("p1"))),
            letter("gone", product_id="p1"),
            letter("w", product_id="p11"),
            letter("w", product_id="p2", query='"p1"'),
            StoredMessage(b"v", b'"p1" rubbish'),
            StoredMessage(b"v", None),
        ]
    )
    told = found.report(TimeRange())
    assert told.by_type == {"view_item": 2, "purchase": 1}
    assert (told.visitors, told.clicks_on_rows, told.newest_at, told.erased, told.scanned) == (2, 1, 9, 1, 8)


def test_an_id_that_json_may_write_in_two_ways_is_found_in_both() -> None:
    found = ProductEvents("Größe/1", Erasures())
    plain = letter("v", product_id="Größe/1")
    escaped = (plain.value() or b"").replace("ö".encode(), b"\\u00f6").replace("ß".encode(), b"\\u00df")
    found.take([plain, StoredMessage(b"v", escaped)])
    assert found.by_type == {"view_item": 2}


def vectors(of: Product) -> ProductVectors:
    return ProductVectors(
        product=of, layout=LAYOUT.id, content=pack(content(of)), hashes={}, models={"text": "a model"}
    )


def test_segments_that_are_empty_are_told() -> None:
    told = summary.describe_vectors(vectors(BOOT), 7)
    assert [each.name for each in told.segments if not each.is_there] == ["caption"]
    assert {each.name: each.model for each in told.segments if each.model} == {"text": "a model"}
    foreign = replace(vectors(BOOT), layout="v0/other:3")
    assert summary.describe_vectors(foreign, 7).segments == ()


def test_how_the_two_topics_stand_to_each_other_is_a_sentence() -> None:
    newer = replace(BOOT, updated_at=9, price=1.0)
    for now, gone_at, made, sentence in [
        (BOOT, None, vectors(BOOT), "embedded as it is"),
        (BOOT, None, None, "waiting to be embedded since 1970-01-01"),
        (newer, None, vectors(BOOT), "waiting to be embedded anew since 1970-01-01"),
        (BOOT, None, vectors(newer), "its vectors are of a newer state"),
        (None, 5, None, "gone since 1970-01-01"),
        (None, 5, vectors(BOOT), "its vectors are still there"),
        (None, None, None, "the shop has no such product"),
    ]:
        assert sentence in summary.state(now, gone_at, made, 0)
    assert [(each.field, each.embedded, each.now) for each in summary.differences(newer, BOOT)] == [
        ("price", BOOT.price, 1.0)
    ]


def test_a_newer_state_is_kept_whichever_message_came_last() -> None:
    newer = replace(CATALOGUE[0], updated_at=5, name="Newer")
    for order in ((newer, CATALOGUE[0]), (CATALOGUE[0], newer)):
        found = VectorTable(LAYOUT)
        for each in order:
            found.take(StoredMessage(each.product_id.encode(), encode(vectors(each))))
        assert found.products[newer.product_id].name == "Newer"
        found.take(StoredMessage(b"x", b"rubbish"))
        foreign = replace(vectors(newer), layout="v1/text:3")
        found.take(StoredMessage(newer.product_id.encode(), encode(foreign)))
        assert (found.unreadable, found.foreign, len(found.products)) == (1, 1, 1)
        found.take(StoredMessage(newer.product_id.encode(), None))
        assert not found.products
        assert not np.any(found.vectors.units([newer.product_id]))
