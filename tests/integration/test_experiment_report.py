"""`experiment report` and `experiment list`, on a real broker's topics."""

import json
import random
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import pytest
from confluent_kafka import Producer

from schemas import erasures, events, experiments, identities, impressions
from schemas.erasures import Erasure
from schemas.events import Event
from schemas.experiments import Experiment, Variant
from schemas.identities import Identity, visitor_of
from schemas.impressions import Shown, ShownItem
from schemas.topics import ERASURES, EVENTS, EXPERIMENTS, IDENTITIES, RECOMMENDATIONS, Topic
from services.clock import now_ms
from services.kafka import ranges
from services.settings import ServiceSettings
from tests.support.kafka import quick_config
from tests.support.operator import Operator

HOUR = 60 * 60 * 1000
DAY = 24 * HOUR
BEGIN = int(now_ms()) // 1000 * 1000 - 10 * DAY  # the broker deletes what is older than 30 days
EXPERIMENT = Experiment(
    name="less-brand", variants=(Variant(name="as-is", share=0.5), Variant(name="less", share=0.5))
)


class Shop:
    """Puts messages on topics, with the broker's times as told."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._producer = Producer(quick_config(settings, linger_ms=5))
        self._number = 0

    def raw(self, topic: Topic, key: str, value: bytes | None, at: int = BEGIN) -> None:
        """Any message."""
        self._producer.produce(self._settings.topic(topic), value, key.encode(), timestamp=at)
        self._producer.poll(0)

    def experiment(self, experiment: Experiment) -> None:
        """Its definition."""
        self.raw(EXPERIMENTS, experiment.name, experiments.encode(experiment))

    def row(
        self, name: str, visitor: str, variant: str, at: int, *, slot: str = "top", times: int = 1
    ) -> None:
        """A row of three products."""
        items = tuple(ShownItem(product_id=f"p{each}", score=1.0, source="content") for each in range(3))
        shown = Shown(
            recommendation_id=name,
            visitor_id=visitor,
            slot=slot,
            kind="for_you",
            shown_at=at,
            items=items,
            experiments={EXPERIMENT.name: variant},
        )
        for _ in range(times):
            self.raw(RECOMMENDATIONS, visitor, impressions.encode(shown), at)

    def event(
        self, type_: str, visitor: str, at: int, *, of: str | None = None, product: str = "p0",
        value: float | None = None, sent_at: int | None = None, times: int = 1,
    ) -> None:  # fmt: skip
        """Something that happened at `at`, and reached the broker at `sent_at`."""
        self._number += 1
        made = Event(
            event_id=f"00000000-0000-4000-8000-{self._number:012d}",
            type=type_,  # type: ignore[arg-type]
            visitor_id=visitor,
            occurred_at=at,
            product_id=product,
            recommendation_id=of,
            value=value,
            currency=None if value is None else "EUR",
        )
        for _ in range(times):
            self.raw(EVENTS, visitor, events.encode(made), at if sent_at is None else sent_at)

    def flush(self) -> None:
        """All of it is on the broker."""
        assert self._producer.flush(20) == 0


@pytest.fixture
def shop(kafka: ServiceSettings) -> Shop:
    """For the test's own topics."""
    return Shop(kafka)


def run_report(settings: ServiceSettings, *arguments: str) -> dict[str, Any]:
    return Operator(settings)("experiment", "report", EXPERIMENT.name, "--json", *arguments).json


def format_time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat()


def by_variant(found: dict[str, Any], figure: str) -> dict[str, Any]:
    return {variant["name"]: variant[figure] for variant in found["variants"]}


def test_a_shops_figures_are_those_counted_beside_it(kafka: ServiceSettings, shop: Shop) -> None:
    draw = random.Random(5)
    counts: dict[str, dict[str, float]] = {name: defaultdict(float) for name in ("as-is", "less")}
    shop.experiment(EXPERIMENT)
    for person in range(400):
        visitor = f"v{person}"
        variant = EXPERIMENT.variant_of(visitor)
        assert variant is not None
        told = counts[variant.name]
        told["visitors"] += 1
        clicked = 0
        for number in range(draw.randint(1, 4)):
            name, at = f"{visitor}.{number}", BEGIN + number * HOUR
            shop.row(name, visitor, variant.name, at, times=draw.randint(1, 2))
            told["impressions"] += 1
            products = draw.sample(["p0", "p1", "p2", "elsewhere"], draw.choice((0, 0, 0, 1, 2)))
            for product in products:  # some come days later, some before their row, some twice
                sent_at = at + draw.choice((-HOUR, 0, 2 * DAY))
                shop.event(
                    "select_item", visitor, at + 10, of=name, product=product, sent_at=sent_at, times=2
                )
                shop.event("view_item", visitor, at + 20, of=name, product=product)
            hits = [product for product in products if product != "elsewhere"]
            told["clicks"] += len(hits)
            told["clicked_impressions"] += bool(hits)
            clicked += bool(hits)
        told["clickers"] += bool(clicked)
        if draw.random() < 0.3:
            shop.event("purchase", visitor, BEGIN + DAY, product="other", value=12.5, times=2)
            told["buyers"] += 1
            told["total"] += 12.5
        elif draw.random() < 0.2:
            shop.event("purchase", visitor, BEGIN + 8 * DAY, value=99.0)  # after the window
    shop.flush()
    found = run_report(kafka)
    for figure in ("visitors", "impressions", "clicks", "clicked_impressions", "clickers", "buyers"):
        assert by_variant(found, figure) == {name: told[figure] for name, told in counts.items()}, figure
    for variant in found["variants"]:
        told = counts[variant["name"]]
        rate = variant["click_rate"]["estimate"]
        assert rate["value"] == pytest.approx(told["clicked_impressions"] / told["impressions"])
        assert rate["low"] < rate["value"] < rate["high"]
        assert variant["conversion"]["estimate"]["value"] == told["buyers"] / told["visitors"]
        [revenue] = variant["revenue"]
        assert (revenue["currency"], revenue["total"]) == ("EUR", told["total"])
    lift = found["variants"][1]["conversion"]["lift"]
    rates = [counts[name]["buyers"] / counts[name]["visitors"] for name in ("as-is", "less")]
    assert lift["value"] == pytest.approx(rates[1] / rates[0] - 1)
    assert lift["low"] < lift["value"] < lift["high"]
    assert not found["sample_ratio"]["mismatch"]
    assert found["visitors"] == 400


def test_users_are_joined_erased_visitors_left_out_and_bad_messages_counted(
    kafka: ServiceSettings, shop: Shop
) -> None:
    shop.experiment(EXPERIMENT)
    user = visitor_of("someone@mail.example")
    identity = Identity(visitor_id="browser", user_id="someone@mail.example", occurred_at=BEGIN + DAY)
    shop.raw(IDENTITIES, "browser", identities.encode(identity))
    shop.raw(IDENTITIES, "rubbish", b"rubbish")
    shop.row("r1", "browser", "less", BEGIN)
    shop.event("select_item", user, BEGIN + 1, of="r1")
    shop.event("purchase", user, BEGIN + 2 * DAY, value=20.0)
    shop.row("r2", user, "as-is", BEGIN + 2 * DAY)
    for visitor, at in (("erased", BEGIN), ("erased later", BEGIN + 5 * HOUR)):
        name = visitor.replace(" ", "-")
        shop.row(f"row of {name}", name, "as-is", at)
        shop.event("select_item", name, at, of=f"row of {name}")
        shop.raw(ERASURES, name, erasures.encode(Erasure(name, BEGIN)))
    shop.raw(RECOMMENDATIONS, "v", b"{}")
    shop.raw(RECOMMENDATIONS, "v", None)
    shop.raw(EVENTS, "v", b"rubbish \xff")
    shop.event("select_item", "thief", BEGIN + 1, of="r1", product="p1")
    shop.flush()
    found = run_report(kafka)
    assert by_variant(found, "visitors") == {"as-is": 1, "less": 1}
    assert by_variant(found, "impressions") == {"as-is": 1, "less": 2}
    assert by_variant(found, "clicks") == {"as-is": 1, "less": 1}
    assert by_variant(found, "buyers") == {"as-is": 0, "less": 1}
    assert by_variant(found, "attributed_purchases") == {"as-is": 0, "less": 1}
    assert by_variant(found, "switched") == {"as-is": 0, "less": 1}
    assert found["left_out"] == {
        "no_events": 1,
        "no_impressions": 2,
        "erased": 2,
        "unreadable_erasures": 0,
        "unreadable_identities": 1,
    }


def test_a_shopper_with_an_alias_and_two_devices_is_one_visitor(kafka: ServiceSettings, shop: Shop) -> None:
    shop.experiment(EXPERIMENT)
    for number, (visitor, user) in enumerate((("a", "old"), (visitor_of("old"), "new"), ("b", "new"))):
        identity = Identity(visitor_id=visitor, user_id=user, occurred_at=BEGIN + number)
        shop.raw(IDENTITIES, visitor, identities.encode(identity))
    shop.row("r1", "a", "less", BEGIN)
    shop.row("r2", "b", "less", BEGIN + 1)
    shop.event("select_item", "b", BEGIN + 2, of="r1")
    shop.event("purchase", visitor_of("new"), BEGIN + DAY, value=20.0)
    shop.flush()
    found = run_report(kafka)
    assert by_variant(found, "visitors") == {"as-is": 0, "less": 1}
    assert by_variant(found, "attributed_purchases") == {"as-is": 0, "less": 1}


def test_times_slots_and_windows_are_the_options(kafka: ServiceSettings, shop: Shop) -> None:
    shop.experiment(EXPERIMENT)
    for day in range(5):
        at = BEGIN + day * DAY
        shop.row(f"top{day}", f"v{day}", "as-is", at)
        shop.row(f"basket{day}", f"v{day}", "less", at + HOUR, slot="basket")
        shop.event("purchase", f"v{day}", at + (day + 1) * 12 * HOUR)
    shop.flush()
    assert by_variant(run_report(kafka), "impressions") == {"as-is": 10, "less": 0}
    assert by_variant(run_report(kafka, "--slot", "basket"), "impressions") == {"as-is": 0, "less": 5}
    found = run_report(kafka, "--from", format_time(BEGIN + DAY), "--to", format_time(BEGIN + 3 * DAY))
    assert found["visitors"] == 2
    assert by_variant(found, "buyers")["as-is"] == 2
    assert found["until"] - found["since"] == 2 * DAY
    assert by_variant(run_report(kafka, "--window", "25h"), "buyers")["as-is"] == 2
    wide, narrow = (
        run_report(kafka, "--confidence", confidence)["variants"][0]["conversion"]["estimate"]
        for confidence in ("0.99", "0.8")
    )
    assert wide["low"] < narrow["low"]


def test_people_get_a_table_and_the_progress_goes_to_stderr(kafka: ServiceSettings, shop: Shop) -> None:
    shop.experiment(EXPERIMENT)
    shop.row("r", "v", "as-is", BEGIN)
    shop.flush()
    done = Operator(kafka, {"COLUMNS": "160"}).as_process("experiment", "report", EXPERIMENT.name)
    for expected in ("less-brand: 1 visitors", "as-is (50%)", "conversion", "Wilson's interval"):
        assert expected in done.out, expected
    assert "reading recommendations: 1, " in done.err
    assert "reading" not in done.out


def test_the_list_says_what_there_is(kafka: ServiceSettings, shop: Shop) -> None:
    ops = Operator(kafka)
    assert ops("experiment", "list").out == "there are no experiments\n"
    shop.experiment(EXPERIMENT)
    shop.experiment(Experiment(name="ended", variants=EXPERIMENT.variants, ends_at=BEGIN))
    shop.experiment(Experiment(name="gone", variants=EXPERIMENT.variants))
    shop.raw(EXPERIMENTS, "gone", None)
    shop.raw(EXPERIMENTS, "rubbish", b"rubbish")
    shop.flush()
    told = json.loads(ops("experiment", "list", "--json").out)
    assert [(each["name"], each["state"]) for each in told] == [("ended", "ended"), ("less-brand", "running")]
    assert told[0]["variants"] == [{"name": "as-is", "share": 0.5}, {"name": "less", "share": 0.5}]
    text = ops("experiment", "list").out
    assert "as-is 50%, less 50%" in text
    assert "gone" not in text


def test_what_cannot_be_told_ends_with_2_and_a_sentence(
    kafka: ServiceSettings, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "ANSWER_S", 2.0)  # for the broker that is away
    shop.experiment(EXPERIMENT)
    shop.row("r", "v", "as-is", BEGIN)
    shop.flush()
    away = kafka.model_copy(update={"kafka_bootstrap": "127.0.0.1:1"})
    nowhere = kafka.model_copy(update={"topic_prefix": "nowhere."})
    for settings, arguments, expected in [
        (kafka, ["unheard"], "no experiment is called 'unheard'; known: less-brand"),
        (kafka, [EXPERIMENT.name, "--to", "12d"], "no row of the experiment less-brand was shown"),
        (kafka, [EXPERIMENT.name, "--slot", "cellar"], "in the slot cellar was shown"),
        (kafka, [EXPERIMENT.name, "--from", "1d", "--to", "2d"], "is not before --to 2d"),
        (kafka, [EXPERIMENT.name, "--window", "soon"], "--window takes a length of time"),
        (away, [EXPERIMENT.name], "no Kafka broker answers at 127.0.0.1:1"),
        (nowhere, [EXPERIMENT.name], "topics create"),
    ]:
        done = Operator(settings)("experiment", "report", *arguments, "--json", status=2)
        assert done.out == "", done.err
        assert expected in done.err
        assert "Traceback" not in done.err
