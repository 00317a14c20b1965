"""Two shops in one ingest and one recommender: what one does, holds or knows never shows at the other."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.stack.broker import Broker
from schemas.topics import ERASURES, EVENTS, EVENTS_DLQ, Topic
from services.web.auth import TOKEN_HEADER
from tests.support.kafka import read_topic
from tests.support.operator import run_command, settings_without_services
from tests.support.patience import eventually
from tests.support.services import RunningService, run_service
from tests.support.shop import FOR_YOU, Shop, content, ids, open_shop, product

Json = dict[str, Any]
ONLY = {"a": "only-a", "b": "only-b"}  # a product of each


@dataclass(frozen=True)
class Tenant:
    """A shop, and its doors at the two services that both share."""

    name: str
    shop: Shop
    entry: Json
    ingest: RunningService
    recommender: RunningService

    @property
    def host(self) -> str:
        return str(self.entry["hosts"][0])

    def key(self, kind: str = "api_key") -> dict[str, str]:
        return {"Authorization": f"Bearer {self.entry[kind]}"}

    def token(self, visitor: str) -> dict[str, str]:
        return {TOKEN_HEADER: self.shop.token(visitor)}

    def holds(self, topic: Topic) -> list[bytes | None]:
        """The keys of what lies on one of its topics."""
        return [message.key() for message in read_topic(self.shop.settings, topic)]

    def profile(self, visitor: str) -> Json:
        answer = self.recommender.http.get(f"/v1/visitors/{visitor}/profile", headers=self.key())
        answer.raise_for_status()
        found: Json = answer.json()
        return found


def entry_of(name: str, shop: Shop) -> Json:
    return {
        "topic_prefix": shop.settings.topic_prefix,
        "hosts": [f"{name}.example.com"],
        "path": f"/{name}",
        "token_secret": secret_of(name),
        "api_key": f"the API key of the shop {name}",
        "admin_key": f"the admin key of the shop {name}",
        "write_key": f"the write key of the shop {name}",
        "allowed_origins": f"https://{name}.example.com",
        "auth": "required",
        "tenant_events_per_s": 0 if name == "a" else 100,
    }


def secret_of(name: str) -> str:
    return f"signs the tokens of the shop {name}"


@pytest.fixture(scope="module")
def tenants(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tenant, Tenant]]:
    folder = tmp_path_factory.mktemp("tenants")
    shops = {name: open_shop(broker, secret_of(name)) for name in ONLY}
    entries = {name: entry_of(name, shop) for name, shop in shops.items()}
    file = folder / "tenants.json"
    file.write_text(json.dumps([*entries.values()]))
    environment = {"EDDY_TENANTS_FILE": str(file), "EDDY_RECOMMENDER_DATADIR": str(folder / "data")}
    settings = shops["a"].settings
    with (
        run_service("ingest", settings, folder / "ingest", environment=environment) as ingest,
        run_service("recommender", settings, folder / "recommender", environment=environment) as recommender,
    ):
        found = [
            Tenant(name, shop, entries[name], ingest.below(f"/{name}"), recommender.below(f"/{name}"))
            for name, shop in shops.items()
        ]
        yield found[0], found[1]
        for each in found:
            each.ingest.http.close()
            each.recommender.http.close()


def view(visitor: str, number: int = 1) -> Json:
    return {
        "event_id": f"00000000-0000-4000-8000-{number:012d}",
        "type": "view_item",
        "visitor_id": visitor,
        "occurred_at": 1_750_000_000_000,
        "product_id": "p1",
    }


def test_events_come_to_the_topics_of_their_shop_alone(tenants: tuple[Tenant, Tenant], visitor: str) -> None:
    for sender, other in (tenants, tenants[::-1]):
        who = f"{visitor}-{sender.name}"
        answer = sender.ingest.http.post(
            "/v1/events", json={"events": [view(who)]}, headers=sender.token(who)
        )
        assert answer.status_code == 202, answer.text
        sender.ingest.http.post("/v1/events", content=b"{", headers=sender.token(who))
        assert who.encode() in sender.holds(EVENTS)
        assert who.encode() not in other.holds(EVENTS)
        assert len(sender.holds(EVENTS_DLQ)) == 1


def test_the_host_says_whose_a_request_is_too(tenants: tuple[Tenant, Tenant], visitor: str) -> None:
    for own, other in (tenants, tenants[::-1]):
        root = own.recommender.url.removesuffix(f"/{own.name}")
        for host, status in ((own.host, 200), (f"{own.host}:443", 200), ("nobody.example", 404)):
            answer = httpx.get(f"{root}/v1/products?product_id={ONLY[own.name]}", headers={"Host": host})
            assert answer.status_code == status, answer.text
        # A page of one shop cannot ask for the other by its path.
        answer = httpx.get(f"{root}/{other.name}/v1/popular", headers={"Host": own.host})
        assert answer.status_code == 404


def test_no_key_and_no_token_opens_the_other_shop(tenants: tuple[Tenant, Tenant], visitor: str) -> None:
    for own, other in (tenants, tenants[::-1]):
        batch = {"events": [view(visitor)]}
        for shown in (other.token(visitor), other.key(), other.key("admin_key")):
            assert own.ingest.http.post("/v1/events", json=batch, headers=shown).status_code == 401
            assert (
                own.recommender.http.get(
                    "/v1/recommendations", params={"visitor_id": visitor}, headers=shown
                ).status_code
                == 401
            )
        path = f"/v1/visitors/{visitor}"
        assert own.recommender.http.get(f"{path}/profile", headers=other.key()).status_code == 401
        assert own.ingest.http.delete(path, headers=other.key("admin_key")).status_code == 401
        for kind in ("rules", "experiments"):
            answer = own.recommender.http.get(f"/v1/{kind}", headers=other.key("admin_key"))
            assert answer.status_code == 401
            assert own.recommender.http.get(f"/v1/{kind}", headers=own.key("admin_key")).status_code == 200
        assert (
            own.ingest.http.post(
                "/v1/track", json={"writeKey": other.entry["write_key"], "event": "x", "anonymousId": visitor}
            ).status_code
            == 401
        )
        assert visitor.encode() not in own.holds(EVENTS)


def test_a_page_of_the_other_shops_origin_is_refused(tenants: tuple[Tenant, Tenant]) -> None:
    for own, other in (tenants, tenants[::-1]):
        for origin, status in ((own, 200), (other, 403)):
            headers = {"Origin": f"https://{origin.host}"}
            assert own.recommender.http.get("/v1/popular", headers=headers).status_code == status


async def test_whatever_the_recommender_answers_is_of_its_own_shop(
    tenants: tuple[Tenant, Tenant], visitor: str
) -> None:
    """Each path of its API, asked for the same visitor of both shops and by both shops' people."""
    for own in tenants:
        only = ONLY[own.name]
        sold = product(4, product_id=only, name=f"Lamp {only}", popularity=0.9)
        await own.shop.put(sold)
        await own.shop.embed((sold, content(4)))
        await own.shop.look_at(visitor, only)
        boost = {"action": "boost", "products": [only], "factor": 1.1}
        variants = [{"name": each, "share": 0.5} for each in ("as-is", "other")]
        for path, body in ((f"rules/{only}", boost), (f"experiments/{only}", {"variants": variants})):
            answer = own.recommender.http.put(f"/v1/{path}", json=body, headers=own.key("admin_key"))
            assert answer.status_code == 200, answer.text

    async def all_is_known() -> None:
        for each in tenants:
            telling = {path for path, text in ask_all(each, visitor).items() if ONLY[each.name] in text}
            assert telling >= TELLING, TELLING - telling

    await eventually(all_is_known)
    for own, other in (tenants, tenants[::-1]):
        for path, text in ask_all(own, visitor).items():
            assert ONLY[other.name] not in text, path
        foreign = ONLY[other.name]
        for path in (*(f"products/{foreign}/{kind}" for kind in ABOUT), f"rules/{foreign}"):
            answer = own.recommender.http.get(f"/v1/{path}", headers=own.key("admin_key"))
            assert answer.status_code == 404, path


ABOUT = ("similar", "also-liked", "complements")
OF_PEOPLE = ("/v1/rules", "/v1/rules/{rule_id}", "/v1/experiments", "/v1/experiments/{name}")
# What tells of a product that the visitor has just looked at, of a rule and of an experiment.
TELLING = {
    *("/v1/recommendations", "/v1/products", "/v1/products/{product_id}/similar", "/v1/popular"),
    *("/v1/search", "/v1/page", "/v1/visitors/{visitor_id}/profile", *OF_PEOPLE),
}


def ask_all(of: Tenant, visitor: str) -> dict[str, str]:
    """By path of the recommender's API, what this shop's pages and people are answered."""
    http, only = of.recommender.http, ONLY[of.name]
    own, many = {"visitor_id": visitor, "k": 50}, {"k": 50}
    asked: dict[str, Json] = {
        "/v1/recommendations": own,
        "/v1/products": {"product_id": ["p4", *ONLY.values()]},
        **{f"/v1/products/{{product_id}}/{kind}": many for kind in ABOUT},
        "/v1/complements": {"product_id": "p5", **many},
        "/v1/popular": many,
        "/v1/search": {"q": "lamp", **many},
        "/v1/visitors/{visitor_id}/profile": {},
        **{path: {} for path in OF_PEOPLE},
    }
    slots = [{"name": kind, "kind": kind, "k": 50} for kind in ("for_you", "popular")]
    page = http.post("/v1/page", json={"visitor_id": visitor, "slots": slots}, headers=of.token(visitor))
    told = {"/v1/page": page}
    for path, parameters in asked.items():
        address = path.format(product_id="p4", visitor_id=visitor, rule_id=only, name=only)
        keys = of.key("admin_key" if path in OF_PEOPLE else "api_key")
        told[path] = http.get(address, params=parameters, headers=keys)
    assert [(path, each.text) for path, each in told.items() if each.status_code != 200] == []
    paths = http.get("/openapi.json").json()["paths"]
    assert told.keys() == {path for path in paths if path.startswith("/v1/")}, "a path is not asked for here"
    return {path: each.text for path, each in told.items()}


async def test_a_click_at_one_shop_moves_no_open_page_of_the_other(
    tenants: tuple[Tenant, Tenant], visitor: str
) -> None:
    first, second = tenants
    async with (
        first.shop.live(first.recommender, visitor, FOR_YOU) as at_first,
        second.shop.live(second.recommender, visitor, FOR_YOU) as at_second,
    ):
        before = await at_first.next(), await at_second.next()
        assert [len(ids(each)) for each in before] == [6, 6]
        for _ in range(3):
            moved = await at_first.push_of(await first.shop.look_at(visitor, "p4"))
            assert "because you looked at Product 4" in {item.get("why") for item in moved["items"]}
        event = await second.shop.look_at(visitor, "p5")
        # What is next on the other page is its own click: nothing was pushed in between.
        assert (await at_second.next())["caused_by"] == event
    sessions = [
        [event["product_id"] for event in each.profile(visitor)["events"]] for each in (first, second)
    ]
    assert sessions == [["p4"] * 3, ["p5"]]


async def test_an_erasure_at_one_shop_leaves_the_visitor_of_the_other(
    tenants: tuple[Tenant, Tenant], visitor: str
) -> None:
    first, second = tenants
    for each in tenants:
        await each.shop.look_at(visitor, "p4")

        async def is_known(each: Tenant = each) -> None:
            assert [event["product_id"] for event in each.profile(visitor)["events"]] == ["p4"]

        await eventually(is_known)
    tokens = first.token(visitor), second.token(visitor)
    answer = first.ingest.http.delete(f"/v1/visitors/{visitor}", headers=first.key("admin_key"))
    assert answer.status_code == 202, answer.text

    async def is_forgotten() -> None:
        assert first.profile(visitor)["events"] == []

    await eventually(is_forgotten)
    assert [event["product_id"] for event in second.profile(visitor)["events"]] == ["p4"]
    assert visitor.encode() in first.holds(ERASURES)
    assert visitor.encode() not in second.holds(ERASURES)
    batch = {"events": [view(visitor)]}
    posts = [
        each.ingest.http.post("/v1/events", json=batch, headers=token)
        for each, token in zip(tenants, tokens, strict=True)
    ]
    assert [each.status_code for each in posts] == [401, 202]


def test_metrics_tell_whose_they_are_and_each_shop_sees_its_own(tenants: tuple[Tenant, Tenant]) -> None:
    for service in ("ingest", "recommender"):
        doors = [getattr(each, service) for each in tenants]
        labels = [each.shop.settings.tenant for each in tenants]
        for own, label, other in zip(doors, labels, labels[::-1], strict=True):
            told = own.http.get("/metrics").text
            lines = [line for line in told.splitlines() if not line.startswith("#")]
            assert lines
            assert all(f'tenant="{label}"' in line for line in lines if line.startswith("eddy_"))
            assert other not in told
        whole = httpx.get(f"{doors[0].url.removesuffix('/a')}/metrics").text
        assert all(f'tenant="{label}"' in whole for label in labels)


def test_operators_see_what_each_takes_on_disk(tenants: tuple[Tenant, Tenant], tmp_path: Path) -> None:
    first, second = (each.shop.settings for each in tenants)
    version = tmp_path / first.topic_prefix / "behaviour" / "20241123T041507Z-3f9a"
    version.mkdir(parents=True)
    (version / "array.npy").write_bytes(bytes(3_000))
    environment = settings_without_services(first) | {
        "EDDY_RECOMMENDER_URL": tenants[0].recommender.url.removesuffix("/a"),
        "EDDY_MODEL_STORE": str(tmp_path),
    }
    rows: list[Json] = json.loads(run_command(environment, "tenants", "--no-products", "--json").out)
    told = {each["tenant"]: (each["models_bytes"], each["recommender_disk_bytes"]) for each in rows}
    assert told[first.tenant][0] == 3_000
    assert told[second.tenant][0] is None
    assert all(told[each.tenant][1] > 50_000 for each in (first, second))  # the vectors of 60 products


def test_a_quota_holds_for_its_own_shop_alone(tenants: tuple[Tenant, Tenant], visitor: str) -> None:
    free, bounded = tenants
    headers = bounded.key() | {"Content-Type": "application/json"}
    batch = {"events": [view(visitor, number) for number in range(1000)]}
    for _ in range(20):
        answer = bounded.ingest.http.post("/v1/events", json=batch, headers=headers)
        if answer.status_code == 429:
            break
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.json()["type"] == "urn:eddy:problem:quota-exceeded"
    assert 'limit="tenant_events"' in bounded.ingest.metrics()
    for _ in range(3):
        assert free.ingest.http.post("/v1/events", json=batch, headers=free.key()).status_code == 202
    assert 'limit="tenant_events"' not in free.ingest.metrics()


def test_no_key_of_any_tenant_is_written_to_the_logs(tenants: tuple[Tenant, Tenant]) -> None:
    for service in (tenants[0].ingest, tenants[0].recommender):
        written = service.log.read_text()
        for each in tenants:
            for kind in ("token_secret", "api_key", "admin_key"):
                assert each.entry[kind] not in written
