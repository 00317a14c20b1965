"""The recommender as a real process on a real broker: rows, live sockets, and what changes them."""

import json
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

import httpx
import msgspec
import pytest
from itsdangerous import TimestampSigner
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from infra.stack.broker import Broker
from schemas.products import PriceChange
from services.clock import now_ms
from services.web.auth import TOKEN_MAX_AGE_S
from tests.support.patience import eventually
from tests.support.services import KEY, PAGE, RunningService, run_service
from tests.support.shop import (
    CATALOGUE,
    COUNT,
    FOR_YOU,
    Json,
    Live,
    Shop,
    get,
    ids,
    metrics,
    open_shop,
    product,
    shelf,
)


@pytest.fixture(scope="module")
def shop(broker: Broker) -> Shop:
    return open_shop(broker)


@pytest.fixture(scope="module")
def recommender(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    log = tmp_path_factory.mktemp("recommender") / "log"
    with run_service("recommender", shop.settings, log) as service:
        yield service


def test_ready_means_that_all_products_are_searchable(recommender: RunningService) -> None:
    assert get(recommender, "/readyz") == {"status": "ready", "products": COUNT}


async def test_a_new_visitor_sees_what_is_popular_and_that_it_is_only_that(
    recommender: RunningService, shop: Shop, visitor: str
) -> None:
    async with shop.live(recommender, visitor, FOR_YOU) as live:
        message = await live.next()
    assert ids(message)[0] == "p0"
    assert {item["source"] for item in message["items"]} == {"popular"}
    assert message["seq"] == 1
    assert "caused_by" not in message or message["caused_by"] is None


async def test_a_click_pushes_products_near_it_and_says_why(
    recommender: RunningService, shop: Shop, visitor: str
) -> None:
    async with shop.live(recommender, visitor, FOR_YOU) as live:
        before = await live.next()
        event_id = await shop.look_at(visitor, "p4")
        message = await live.push_of(event_id)
    assert message["seq"] > before["seq"]
    assert {shelf(each) for each in ids(message)} == {"Lamps"}
    assert "p4" not in ids(message)
    assert {item["why"] for item in message["items"]} == {"because you looked at Product 4"}
    assert (message["timing"]["accepted_at"], message["timing"]["folded_at"]) == (1000, 1001.5)
    assert message["models"] == {"text": "of the test"}


async def test_two_interests_take_turns(recommender: RunningService, shop: Shop, visitor: str) -> None:
    async with shop.live(recommender, visitor, FOR_YOU) as live:
        await shop.look_at(visitor, "p3")
        message = await live.push_of(await shop.look_at(visitor, "p4"))
    assert {shelf(each) for each in ids(message)} == {"Shoes", "Lamps"}


async def test_a_socket_that_comes_back_sees_the_newest_state_at_once(
    recommender: RunningService, shop: Shop, visitor: str
) -> None:
    async with shop.live(recommender, visitor, FOR_YOU) as live:
        seen = await live.push_of(await shop.look_at(visitor, "p5"))
    async with shop.live(recommender, visitor, FOR_YOU) as live:
        again = await live.next()
    assert again["caused_by"] == seen["caused_by"]
    assert ids(again) == ids(seen)
    assert again["seq"] == 1


async def test_polling_gives_the_same_row(recommender: RunningService, shop: Shop, visitor: str) -> None:
    async with shop.live(recommender, visitor, FOR_YOU) as live:
        seen = await live.push_of(await shop.look_at(visitor, "p7"))
    asked: Json = {"visitor_id": visitor, "k": 6}
    polled = get(recommender, "/v1/recommendations", **asked, token=shop.token(visitor))
    assert polled["items"] == seen["items"]
    assert polled["caused_by"] == seen["caused_by"]
    with_key = recommender.http.get(
        "/v1/recommendations", params=asked, headers={"Authorization": f"Bearer {KEY}"}
    )
    assert with_key.json() | {"recommendation_id": polled["recommendation_id"]} == polled


async def test_a_product_on_show_that_sells_out_is_replaced(recommender: RunningService, shop: Shop) -> None:
    popular = {"name": "all", "kind": "popular", "k": 5}
    async with shop.live(recommender, "somebody", popular) as live:
        shown = ids(await live.next())
        gone = next(each for each in CATALOGUE if each.product_id == shown[2])
        await shop.put(msgspec.structs.replace(gone, availability="out_of_stock", updated_at=2))
        message = await live.next()
        assert gone.product_id not in ids(message)
        assert len(ids(message)) == 5
        assert message["timing"].keys() == {"pushed_at"}
        # An older message about it changes nothing, a newer one does.
        await shop.put(msgspec.structs.replace(gone, updated_at=1))
        await shop.put(msgspec.structs.replace(gone, updated_at=3))

    async def back_again() -> None:
        assert shown == ids(get(recommender, "/v1/popular", k=5))

    await eventually(back_again)


async def test_a_new_price_shows_on_open_pages(recommender: RunningService, shop: Shop) -> None:
    async with shop.live(recommender, "somebody", {"name": "all", "kind": "popular", "k": 3}) as live:
        first = (await live.next())["items"][0]
        known = next(each for each in CATALOGUE if each.product_id == first["product_id"])
        await shop.put(msgspec.structs.replace(known, price=1.5, updated_at=10))
        assert (await live.next())["items"][0]["price"] == 1.5
        await shop.put(msgspec.structs.replace(known, updated_at=11))


async def test_a_sale_begins_and_ends_on_open_pages_and_in_filters_without_a_new_message(
    recommender: RunningService, shop: Shop
) -> None:
    async with shop.live(recommender, "somebody", {"name": "all", "kind": "popular", "k": 3}) as live:
        first = (await live.next())["items"][0]
        known = next(each for each in CATALOGUE if each.product_id == first["product_id"])
        beside = next(each.product_id for each in CATALOGUE if each.product_id != known.product_id)
        begins, ends = int(now_ms()) + 1_500, int(now_ms()) + 4_000
        changes = (
            PriceChange(at=begins, price=1.5, on_sale=True),
            PriceChange(at=ends, price=known.price + 1),
        )
        await shop.put(msgspec.structs.replace(known, price_changes=changes, updated_at=20))

        def find_cheap(kind: str) -> Json:
            row = get(recommender, f"/v1/{kind}", k=5, price_max=2)
            return {each["product_id"]: each["source"] for each in row["items"]}

        while (shown := (await live.next())["items"][0])["price"] != 1.5:
            assert shown["price"] == known.price
        assert now_ms() >= begins
        assert known.product_id in find_cheap("popular")
        assert find_cheap(f"products/{beside}/similar")[known.product_id] == "content"  # the index knows
        assert (await live.next())["items"][0]["price"] == known.price + 1
        assert now_ms() >= ends
        assert find_cheap("popular") == find_cheap(f"products/{beside}/similar") == {}
        await shop.put(msgspec.structs.replace(known, updated_at=21))


async def test_a_deleted_product_is_nowhere(recommender: RunningService, shop: Shop) -> None:
    extra = product(COUNT, updated_at=5)
    await shop.put(extra)
    await shop.put_vectors(COUNT)

    async def check_known() -> None:
        get(recommender, f"/v1/products/p{COUNT}/similar")

    async def check_gone() -> None:
        get(recommender, f"/v1/products/p{COUNT}/similar", 404)

    await eventually(check_known)
    await shop.delete(extra.product_id)
    await eventually(check_gone)
    beside = f"/v1/products/p{COUNT - 3}/similar"
    assert extra.product_id not in ids(get(recommender, beside, k=60))


async def test_similar_is_live_and_says_why(recommender: RunningService, shop: Shop) -> None:
    slot = {"name": "like", "kind": "similar", "product_id": "p9", "k": 4}
    async with shop.live(recommender, "somebody", slot) as live:
        message = await live.next()
    assert {shelf(each) for each in ids(message)} == {"Shoes"}
    assert "p9" not in ids(message)
    assert message["items"] == get(recommender, "/v1/products/p9/similar", k=4)["items"]


def test_filters_hold_in_the_row_and_in_what_fills_it(recommender: RunningService) -> None:
    row = get(recommender, "/v1/products/p9/similar", k=20, category="Lamps", price_max=40, exclude=["p1"])
    found = [(item["category"], item["price"] <= 40, item["product_id"]) for item in row["items"]]
    assert found
    assert all(category == ["Lamps"] and cheap and each != "p1" for category, cheap, each in found)


def test_bad_questions_get_problem_documents(recommender: RunningService, shop: Shop) -> None:
    ask = {"visitor_id": "v", "token": shop.token("v")}
    assert "k" in get(recommender, "/v1/recommendations", 422, **ask, k=101)["detail"]
    assert "price_min" in get(recommender, "/v1/popular", 422, price_min="cheap")["detail"]
    assert get(recommender, "/v1/products/nobody/similar", 404)["type"] == "urn:eddy:problem:unknown-product"
    assert get(recommender, "/v1/recommendations", 401, visitor_id="v")["status"] == 401
    other = ask | {"token": shop.token("w")}
    assert "another visitor" in get(recommender, "/v1/recommendations", 401, **other)["detail"]
    wrong = {"Authorization": "Bearer wrong"}
    assert recommender.http.get("/v1/recommendations", params=ask, headers=wrong).status_code == 401


async def test_nobody_opens_another_visitors_stream(recommender: RunningService, shop: Shop) -> None:
    for query in ("visitor_id=v", f"visitor_id=v&token={quote(shop.token('w'))}", "visitor_id=v&token=x", ""):
        async with connect(f"ws://127.0.0.1:{recommender.port}/v1/live?{query}") as socket:
            if "token=" not in query:
                await socket.send(json.dumps({"type": "subscribe", "slots": [FOR_YOU]}))
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
        assert "token" in closed.value.rcvd.reason


async def test_a_socket_takes_the_token_in_its_first_message_and_no_log_has_it(
    recommender: RunningService, shop: Shop, visitor: str
) -> None:
    token, by_query = shop.token(visitor), f"&token={quote(shop.token(visitor))}"
    address = f"ws://127.0.0.1:{recommender.port}/v1/live?visitor_id={visitor}"
    async with connect(address, compression=None) as socket:
        await socket.send(json.dumps({"type": "subscribe", "slots": [FOR_YOU], "token": token}))
        assert len(ids(json.loads(await socket.recv()))) == 6
        await socket.send(json.dumps({"type": "subscribe", "slots": [FOR_YOU], "token": shop.token("w")}))
        code, reason = await Live(socket).wait_for_close()
        assert (code, "another visitor" in reason) == (1008, True)
    async with connect(address + by_query, compression=None) as socket:
        await socket.send(json.dumps({"type": "subscribe", "slots": [FOR_YOU]}))
        assert len(ids(json.loads(await socket.recv()))) == 6
    row = recommender.http.get(
        "/v1/recommendations", params={"visitor_id": visitor}, headers={"X-Eddy-Token": token}
    )
    assert row.status_code == 200
    signature = token.rpartition(".")[2]
    assert signature not in recommender.log.read_text()
    assert by_query.rpartition(".")[2] not in recommender.log.read_text()


async def test_a_socket_of_another_sites_page_is_refused(
    recommender: RunningService, shop: Shop, visitor: str
) -> None:
    query = f"visitor_id={visitor}&token={quote(shop.token(visitor))}"
    address = f"ws://127.0.0.1:{recommender.port}/v1/live?{query}"
    async with connect(address, origin=Origin(PAGE)) as socket:
        await socket.send(json.dumps({"type": "subscribe", "slots": [FOR_YOU]}))
        assert len(ids(json.loads(await socket.recv()))) == 6
    with pytest.raises(InvalidStatus) as refused:
        await connect(address, origin=Origin("https://other.example"))
    assert refused.value.response.status_code == 403
    assert b"EDDY_ALLOWED_ORIGINS" in refused.value.response.body
    assert quote(shop.token(visitor)).rpartition(".")[2] not in recommender.log.read_text()


async def test_a_socket_ends_when_its_token_does_and_lives_on_with_a_newer_one(
    recommender: RunningService, shop: Shop, visitor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def token(left_s: float) -> str:
        then = int(time.time() - TOKEN_MAX_AGE_S + left_s)
        with monkeypatch.context() as past:
            past.setattr(TimestampSigner, "get_timestamp", lambda _self: then)
            return shop.token(visitor)

    address = f"ws://127.0.0.1:{recommender.port}/v1/live?visitor_id={visitor}"
    async with connect(address, compression=None) as dying, connect(address, compression=None) as living:
        for socket in (dying, living):
            shown = {"type": "subscribe", "slots": [FOR_YOU], "token": token(3)}
            await socket.send(json.dumps(shown))
            assert len(ids(json.loads(await socket.recv()))) == 6
        renewed = {"type": "subscribe", "slots": [FOR_YOU], "token": token(3600)}
        await living.send(json.dumps(renewed))
        code, reason = await Live(dying).wait_for_close()
        assert (code, "expired" in reason) == (1008, True)
        event_id = await shop.look_at(visitor, "p8")
        await Live(living).push_of(event_id)


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "{",
        "[]",
        '{"type":"subscribe","slots":[]}',
        '{"type":"subscribe","slots":[{"name":"a","kind":"b"}]}',
        '{"type":"subscribe","slots":[{"name":"a","kind":"similar"}]}',
        b"\xff\xfe",
    ],
)
async def test_garbage_on_a_socket_is_answered_and_the_socket_stays(
    recommender: RunningService, shop: Shop, visitor: str, garbage: str | bytes
) -> None:
    async with shop.live(recommender, visitor) as live:
        await live.socket.send(garbage)
        message = await live.next()
        assert message["type"] == "error"
        assert message["detail"]
        await live.subscribe(FOR_YOU)
        assert len(ids(await live.next())) == 6


async def test_two_pages_of_one_visitor_both_change(
    recommender: RunningService, shop: Shop, visitor: str
) -> None:
    async with (
        shop.live(recommender, visitor, FOR_YOU) as one,
        shop.live(recommender, visitor, FOR_YOU) as other,
    ):
        event_id = await shop.look_at(visitor, "p8")
        first, second = await one.push_of(event_id), await other.push_of(event_id)
    assert ids(first) == ids(second)


async def test_after_a_kill_the_state_is_read_again(shop: Shop, visitor: str, tmp_path: Path) -> None:
    with run_service("recommender", shop.settings, tmp_path / "log") as service:
        async with shop.live(service, visitor, FOR_YOU) as live:
            seen = await live.push_of(await shop.look_at(visitor, "p11"))
        service.kill()
        with run_service("recommender", shop.settings, tmp_path / "log", port=service.port) as again:
            async with shop.live(again, visitor, FOR_YOU) as live:
                message = await live.next()
    assert ids(message) == ids(seen)
    assert message["caused_by"] == seen["caused_by"]


async def test_a_slow_reader_is_dropped_and_others_are_served(
    shop: Shop, visitor: str, tmp_path: Path
) -> None:
    slow = {"EDDY_SLOW_READER_S": "0.3"}
    with run_service("recommender", shop.settings, tmp_path / "log", environment=slow) as service:
        query = f"visitor_id={visitor}&token={quote(shop.token(visitor))}"
        with closing(_socket_of_few_bytes(service.port)) as small:
            url = f"ws://127.0.0.1:{service.port}/v1/live?{query}"
            lazy = await connect(url, sock=small, compression=None, ping_interval=None)
            lazy.transport.pause_reading()
            await lazy.send(json.dumps({"type": "subscribe", "slots": A_LOT}))

            async def ask_again() -> None:
                with suppress(ConnectionClosed):
                    await lazy.send(json.dumps({"type": "subscribe", "slots": A_LOT}))
                told = metrics(service)
                assert "eddy_recommender_slow_readers_total 1.0" in told
                assert "eddy_recommender_sockets 0.0" in told  # aborted: nobody waits until it has read

            await eventually(ask_again)
            async with shop.live(service, "other", FOR_YOU) as live:
                assert len(ids(await live.next())) == 6
                service.process.send_signal(signal.SIGTERM)
                await live.socket.wait_closed()
                assert live.socket.close_code == 1012  # the service restarts, and the page comes back
            service.process.wait(timeout=10)
            lazy.transport.abort()


A_LOT = [{"name": f"s{number}", "kind": "popular", "k": 100} for number in range(16)]


def _socket_of_few_bytes(port: int) -> socket.socket:
    """Its kernel buffer is soon full, where the default one takes megabytes."""
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    small.connect(("127.0.0.1", port))
    small.setblocking(False)
    return small


def test_a_page_of_another_shop_gets_no_answer(recommender: RunningService) -> None:
    answer = httpx.get(f"{recommender.url}/v1/popular", headers={"Origin": "http://127.0.0.1:9"})
    assert answer.status_code == 403
    assert "EDDY_ALLOWED_ORIGINS" in answer.json()["detail"]


def test_the_openapi_document_names_every_route(recommender: RunningService) -> None:
    document = get(recommender, "/openapi.json")
    assert {"/v1/recommendations", "/v1/popular", "/v1/products/{product_id}/similar"} <= set(
        document["paths"]
    )
    assert "Recommended" in document["components"]["schemas"]
