"""Rules and experiments over HTTP: who may, what is taken, what is refused, and when 200 is answered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from schemas import experiments as experiment_messages
from schemas import rules as rule_messages
from schemas.experiments import EXPERIMENTS_MAX, Experiment, Variant
from schemas.products import Product
from schemas.rules import MAX_RULE_BYTES, RULES_MAX, Rule
from schemas.topics import RULES, Topic
from services.recommender.api import admin as keeping
from services.recommender.api.admin import admin_routes
from services.recommender.api.admin_bodies import BODY_MAX_BYTES, STRUCTS
from services.recommender.catalogue import Catalogue
from services.recommender.pipeline.experiments import ExperimentSchedule
from services.recommender.pipeline.merchandising import RuleSchedule
from services.web import problems
from services.web.auth import AdminAuth
from services.web.openapi import MsgspecApi
from services.web.problems import BrokerAway

KEY = "the key of the shop's people"
NOW = 1_800_000_000_000
BLOCK = {"action": "block", "products": ["p1"]}
TEST = {"variants": [{"name": "a", "share": 0.5}, {"name": "b", "share": 0.5, "diversity": 0.4}]}

Json = dict[str, Any]


class Admin:
    """The routes on real books. What is published is read back at once, as a reader of the topic would."""

    def __init__(self, admin_key: str | None = KEY) -> None:
        self.rules, self.experiments = RuleSchedule(), ExperimentSchedule()
        self.catalogue = Catalogue()
        self.waiting_for: str | None = None
        self.is_read = True
        self.away: str | None = None
        self.published: list[tuple[str, str, bytes | None]] = []
        self.sent = asyncio.Event()
        self.now = float(NOW)
        self.app = MsgspecApi("admin", "of the test", STRUCTS, nothing)
        self.app.include_router(
            admin_routes(
                AdminAuth(SecretStr(admin_key) if admin_key else None),
                self.rules,
                self.experiments,
                self._publish,
                catalogue=self.catalogue,
                clock=lambda: self.now,
                waiting_for=lambda: self.waiting_for,
                weight_names={"similar": {"brand", "image"}},
            )
        )
        problems.install(self.app, lambda _status: None)

    async def _publish(self, topic: Topic, key: str, message: bytes | None) -> None:
        if self.away:
            raise BrokerAway(self.away)
        self.published.append((topic.name, key, message))
        self.sent.set()
        if self.is_read:
            self.read(topic, key, message)

    def read(self, topic: Topic, key: str, message: bytes | None) -> None:
        if topic is RULES:
            self.rules.put(key, None if message is None else rule_messages.decode(message))
        else:
            self.experiments.put(key, None if message is None else experiment_messages.decode(message))

    async def ask(
        self, method: str, path: str, status: int = 200, *, key: str | None = KEY, **options: Any
    ) -> Json:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        headers |= options.pop("headers", {})
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://eddy") as client:
            answer = await client.request(method, path, headers=headers, **options)
        assert answer.status_code == status, answer.text
        self.headers = answer.headers
        body: Json = answer.json()
        return body


@asynccontextmanager
async def nothing(_app: FastAPI) -> AsyncIterator[None]:
    yield


@pytest.fixture
def admin() -> Admin:
    return Admin()


ROUTES = [
    ("GET", "/v1/rules"), ("PUT", "/v1/rules"), ("DELETE", "/v1/rules?rule_id=a"),
    ("GET", "/v1/rules/a"), ("PUT", "/v1/rules/a"), ("DELETE", "/v1/rules/a"),
    ("GET", "/v1/experiments"), ("GET", "/v1/experiments/a"),
    ("PUT", "/v1/experiments/a"), ("DELETE", "/v1/experiments/a"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_nothing_is_told_or_changed_without_the_admin_key(admin: Admin, method: str, path: str) -> None:
    assert "admin key" in (await admin.ask(method, path, 401, key=None))["detail"]
    assert "EDDY_ADMIN_KEY" in (await admin.ask(method, path, 401, key="another key"))["detail"]
    assert "EDDY_ADMIN_KEY" in (await Admin(admin_key=None).ask(method, path, 403))["detail"]
    assert admin.published == []


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_nothing_is_told_or_changed_before_all_was_read(admin: Admin, method: str, path: str) -> None:
    admin.waiting_for = "the topic rules"
    assert "the topic rules" in (await admin.ask(method, path, 503))["detail"]
    assert admin.headers["Retry-After"] == "1"


async def test_a_rule_is_written_read_changed_and_deleted(admin: Admin) -> None:
    put = await admin.ask("PUT", "/v1/rules/a", json=BLOCK | {"note": "recall", "updated_at": 1})
    expected = BLOCK | {"rule_id": "a", "note": "recall", "updated_at": NOW}
    assert put["rules"] == [expected]
    assert await admin.ask("GET", "/v1/rules/a") == expected
    assert await admin.ask("GET", "/v1/rules") == {"rules": [expected]}
    assert admin.rules.get("a") == msgspec.convert(expected, Rule)
    assert admin.published[0][:2] == ("rules", "a")
    # What was read may be sent back.
    again = await admin.ask("PUT", "/v1/rules/a", json=expected | {"note": "recalled"})
    assert again["rules"][0]["updated_at"] == NOW + 1
    assert await admin.ask("DELETE", "/v1/rules/a") == {"deleted": ["a"], "warnings": []}
    assert admin.published[-1] == ("rules", "a", None)
    assert "'a'" in (await admin.ask("GET", "/v1/rules/a", 404))["detail"]


async def test_many_rules_at_once_add_and_replace_but_delete_no_others(admin: Admin) -> None:
    await admin.ask("PUT", "/v1/rules/kept", json=BLOCK)
    await admin.ask("PUT", "/v1/rules/a", json=BLOCK)
    body = {"rules": [BLOCK | {"rule_id": "a", "brands": ["Bo"]}, BLOCK | {"rule_id": "b"}]}
    put = await admin.ask("PUT", "/v1/rules", json=body)
    assert [rule["rule_id"] for rule in put["rules"]] == ["a", "b"]
    assert [rule.rule_id for rule in admin.rules.rules] == ["a", "b", "kept"]
    gone = await admin.ask("DELETE", "/v1/rules?rule_id=a&rule_id=b&rule_id=a&rule_id=x")
    assert gone == {"deleted": ["a", "b", "x"], "warnings": ["there was no rule 'x'"]}
    assert [rule.rule_id for rule in admin.rules.rules] == ["kept"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (BLOCK | {"prodcuts": ["p1"]}, "prodcuts"),
        (BLOCK | {"products": "p1"}, "$.products"),
        (BLOCK | {"factor": 101}, "$.factor"),
        (BLOCK | {"position": 0}, "$.position"),
        (BLOCK | {"action": "hide"}, "$.action"),
        (BLOCK | {"starts_at": "tomorrow"}, "$.starts_at"),
        (BLOCK | {"starts_at": 5, "ends_at": 5}, "ends_at"),
        (BLOCK | {"rule_id": "b"}, "rule_id"),
        (BLOCK | {"rule_id": None}, "rule_id"),
        ({"action": "block"}, "names products, brands"),
        ({"action": "pin", "brands": ["Bo"]}, "a pin names products"),
        ({"products": ["p1"]}, "action"),
        ([BLOCK], "object"),
    ],
)
async def test_a_bad_rule_is_refused_with_the_field_named(admin: Admin, body: object, told: str) -> None:
    refused = await admin.ask("PUT", "/v1/rules/a", 422, json=body)
    assert told in refused["detail"]
    assert refused["type"] == "urn:eddy:problem:unacceptable"
    assert admin.published == []


async def test_of_many_rules_one_bad_one_is_named_and_none_is_taken(admin: Admin) -> None:
    good = BLOCK | {"rule_id": "a"}

    async def read_refusal(*rules: Json) -> str:
        return str((await admin.ask("PUT", "/v1/rules", 422, json={"rules": rules}))["detail"])

    assert "$.rules[1].products" in await read_refusal(good, good | {"products": [""]})
    assert "rules[1]: a pin" in await read_refusal(good, {"rule_id": "b", "action": "pin", "tags": ["x"]})
    assert "rules have the rule_id 'a'" in await read_refusal(good, good)
    assert "rule_id" in await read_refusal(BLOCK)
    assert "$.rules" in await read_refusal()
    assert admin.published == []


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"note": "\\ud800"}', b"[" * 100_000, b"NaN"])
async def test_what_is_no_json_is_refused(admin: Admin, body: bytes) -> None:
    for path in ("/v1/rules", "/v1/rules/a", "/v1/experiments/a"):
        assert "no JSON" in (await admin.ask("PUT", path, 400, content=body))["detail"]


async def test_other_media_types_and_large_bodies_are_refused(admin: Admin) -> None:
    html = {"Content-Type": "text/html"}
    refused = await admin.ask("PUT", "/v1/rules/a", 415, headers=html, content=b"{}")
    assert "text/html" in refused["detail"]
    large = BLOCK | {"products": [f"{number:0128}" for number in range(MAX_RULE_BYTES // 128)]}
    assert "bytes" in (await admin.ask("PUT", "/v1/rules/a", 413, json=large))["detail"]
    many = {"rules": [BLOCK | {"rule_id": "a"}, large | {"rule_id": "b"}]}
    assert "rules[1]" in (await admin.ask("PUT", "/v1/rules", 413, json=many))["detail"]
    huge = b" " * (BODY_MAX_BYTES + 1)
    assert str(BODY_MAX_BYTES) in (await admin.ask("PUT", "/v1/rules", 413, content=huge))["detail"]


@pytest.mark.parametrize("path", ["/v1/rules/a%20b", "/v1/experiments/a%0A", f"/v1/rules/{'x' * 65}"])
async def test_names_that_nothing_can_have_are_refused(admin: Admin, path: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        assert "path" in (await admin.ask(method, path, 422, json=BLOCK))["detail"]
    assert "rule_id" in (await admin.ask("DELETE", "/v1/rules", 422))["detail"]


async def test_there_is_an_end_to_how_many_there_may_be(admin: Admin) -> None:
    for number in range(RULES_MAX):
        admin.rules.put(f"r{number}", Rule(rule_id=f"r{number}", action="block", products=("p1",)))
    assert str(RULES_MAX) in (await admin.ask("PUT", "/v1/rules/new", 422, json=BLOCK))["detail"]
    await admin.ask("PUT", "/v1/rules/r0", json=BLOCK)
    variants = (Variant(name="a", share=0.5), Variant(name="b", share=0.5))
    for number in range(EXPERIMENTS_MAX):
        admin.experiments.put(f"e{number}", Experiment(name=f"e{number}", variants=variants))
    assert str(EXPERIMENTS_MAX) in (await admin.ask("PUT", "/v1/experiments/new", 422, json=TEST))["detail"]


async def test_what_may_be_a_mistake_is_taken_with_a_warning(admin: Admin) -> None:
    admin.catalogue.put(
        Product(
            product_id="p1", name="A boot", price=1, currency="EUR", availability="in_stock", updated_at=1
        )
    )

    async def read_warnings(**rule: object) -> list[str]:
        found: list[str] = (await admin.ask("PUT", "/v1/rules/a", json=rule))["warnings"]
        return found

    assert await read_warnings(action="pin", products=["p1"]) == []
    assert await read_warnings(action="pin", products=["p1", "p2", "p3"]) == [
        "a: the catalogue does not know p2, p3"
    ]
    lots = await read_warnings(action="pin", products=[f"x{number}" for number in range(8)])
    assert lots == ["a: the catalogue does not know x0, x1, x2, x3, x4 and 3 more"]
    assert "down" in (await read_warnings(action="boost", brands=["Bo"], factor=0.5))[0]
    assert "up" in (await read_warnings(action="bury", brands=["Bo"], factor=0.5))[0]
    assert "nothing" in (await read_warnings(action="boost", brands=["Bo"], factor=1))[0]
    assert "past" in (await read_warnings(action="block", brands=["Bo"], ends_at=NOW))[0]


async def test_an_answer_of_200_waits_until_this_process_has_read_the_change(admin: Admin) -> None:
    admin.is_read = False
    asking = asyncio.create_task(admin.ask("PUT", "/v1/rules/a", json=BLOCK))
    await admin.sent.wait()
    # Somebody else's older change arrives first: it is not the one that is waited for.
    admin.read(RULES, "a", rule_messages.encode(Rule(rule_id="a", action="block", products=("p2",))))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not asking.done()
    admin.read(RULES, "a", admin.published[0][2])
    assert (await asking)["rules"][0]["products"] == ["p1"]
    admin.sent.clear()
    deleting = asyncio.create_task(admin.ask("DELETE", "/v1/rules/a"))
    await admin.sent.wait()
    assert not deleting.done()
    admin.read(RULES, "a", None)
    assert (await deleting)["deleted"] == ["a"]


async def test_a_change_that_is_not_read_in_time_is_202_with_a_note(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "APPLIED_WITHIN_S", 0.01)
    admin.is_read = False
    for method, path in (("PUT", "/v1/rules/a"), ("DELETE", "/v1/rules/b"), ("PUT", "/v1/experiments/a")):
        admin.rules.put("b", Rule(rule_id="b", action="block", products=("p1",)))
        answer = await admin.ask(method, path, 202, json=BLOCK if "rules" in path else TEST)
        assert "open pages will follow" in answer["warnings"][-1]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_while_kafka_is_away_nothing_changes_and_the_sender_is_told_to_try_again(
    admin: Admin, method: str
) -> None:
    await admin.ask("PUT", "/v1/rules/a", json=BLOCK)
    await admin.ask("PUT", "/v1/experiments/a", json=TEST)
    before = (admin.rules.rules, admin.experiments.experiments)
    admin.away = "the broker does not answer"
    for path, body in (
        ("/v1/rules/a", BLOCK | {"note": "new"}),
        ("/v1/experiments/a", TEST | {"note": "new"}),
    ):
        refused = await admin.ask(method, path, 503, json=body)
        assert refused["type"] == "urn:eddy:problem:broker-away"
        assert admin.headers["Retry-After"] == "1"
    assert (admin.rules.rules, admin.experiments.experiments) == before


async def test_two_changes_within_one_millisecond_have_an_order(admin: Admin) -> None:
    admin.rules.put("c", Rule(rule_id="c", action="block", products=("p1",), updated_at=NOW + 50))
    stamps = [
        (await admin.ask("PUT", f"/v1/rules/{rule_id}", json=BLOCK))["rules"][0]["updated_at"]
        for rule_id in ("a", "a", "b", "c", "a")
    ]
    assert stamps == sorted(set(stamps))
    assert stamps[3] > NOW + 50


async def test_an_experiment_is_written_read_changed_and_deleted(admin: Admin) -> None:
    put = await admin.ask("PUT", "/v1/experiments/x", json=TEST)
    expected = TEST | {"name": "x", "updated_at": NOW}
    assert put == {"experiment": expected, "warnings": []}
    assert await admin.ask("GET", "/v1/experiments/x") == expected
    assert await admin.ask("GET", "/v1/experiments") == {"experiments": [expected]}
    assert admin.published[0][:2] == ("experiments", "x")
    assert await admin.ask("DELETE", "/v1/experiments/x") == {"deleted": ["x"], "warnings": []}
    assert (await admin.ask("DELETE", "/v1/experiments/x"))["warnings"] == ["there was no experiment 'x'"]
    await admin.ask("GET", "/v1/experiments/x", 404)


def variants(*shares: float, **fields: object) -> Json:
    made: list[Json] = [{"name": f"v{number}", "share": share} for number, share in enumerate(shares)]
    made[-1] |= fields
    return {"variants": made}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (variants(1.0), "$.variants"),
        (variants(0.6, 0.6), "shares"),
        (variants(0.5, 0.5, wieghts={}), "wieghts"),
        (variants(0.5, 0.5, weights={"simlar": {}}), "simlar"),
        (variants(0.5, 0.5, weights={"similar": {"brnad": 1}}), "variants[1].weights.similar.brnad"),
        (variants(0.5, 0.5, weights={"similar": {"brand": 11}}), "$.variants[1].weights"),
        (variants(0.5, 0.5, diversity=2), "diversity"),
        (variants(0.5, 0.5, name="v0"), "two variants"),
        (variants(0.5, 0.5, model="Behaviour B"), "variants[1].model is no name"),
        (TEST | {"name": "y"}, "name"),
        (TEST | {"colour": "red"}, "colour"),
    ],
)
async def test_a_bad_experiment_is_refused_with_the_field_named(admin: Admin, body: Json, told: str) -> None:
    assert told in (await admin.ask("PUT", "/v1/experiments/x", 422, json=body))["detail"]
    assert admin.published == []


async def test_experiments_that_meet_on_one_knob_are_told_who_wins(admin: Admin) -> None:
    await admin.ask("PUT", "/v1/experiments/b", json=variants(0.5, 0.5, model="other", diversity=0.1))

    async def read_warnings(name: str, **fields: object) -> list[str]:
        body = variants(0.5, 0.5, diversity=0.3) | fields
        found: list[str] = (await admin.ask("PUT", f"/v1/experiments/{name}", json=body))["warnings"]
        return found

    assert await read_warnings("a", ends_at=NOW + 1) == [
        "b sets diversity at the same time: for visitors in both, a wins, as the first by name"
    ]
    assert "b wins" in (await read_warnings("c"))[1]
    assert (
        "no variant sets" in (await admin.ask("PUT", "/v1/experiments/n", json=variants(1, 0)))["warnings"][0]
    )
    assert "change sides" in (await read_warnings("c", **variants(0.2, 0.8, diversity=0.3)))[0]


def test_the_document_tells_what_the_routes_take_and_answer(admin: Admin) -> None:
    document = admin.app.openapi()
    operations = {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert len(operations) == len(ROUTES)
    for (method, path), operation in operations.items():
        assert operation["security"] == [{"admin_key": []}]
        assert {"200", "401", "403", "503"} <= operation["responses"].keys()
        assert ("202" in operation["responses"]) == (method in ("PUT", "DELETE"))
        assert ("requestBody" in operation) == (method == "PUT"), path
    rule = operations["PUT", "/v1/rules/{rule_id}"]["requestBody"]["content"]["application/json"]["schema"]
    assert rule["required"] == ["action"]
    assert rule["additionalProperties"] is False
    references = {each for each in _references(document) if each.startswith("#/components/schemas/")}
    assert {each.rpartition("/")[2] for each in references} <= document["components"]["schemas"].keys()


def _references(node: object) -> list[str]:
    if isinstance(node, list):
        return [found for each in node for found in _references(each)]
    if isinstance(node, dict):
        here = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return here + [found for each in node.values() for found in _references(each)]
    return []
