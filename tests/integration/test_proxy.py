"""infra/proxy/nginx.conf: an event, a row and a socket through the real nginx, and what it keeps out."""

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import quote

import httpx
import pytest
from ulid import ULID
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import InvalidStatus

from infra.stack.broker import Broker
from services.clock import now_ms
from tests.support.machine import free_ports
from tests.support.proxy import INGEST, RECOMMENDER, TRUST, adapt, run_nginx
from tests.support.services import run_service
from tests.support.shop import FOR_YOU, Live, Shop, open_shop

pytestmark = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")


class Proxy:
    """A running nginx, asked over TLS by the names of its configuration."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.tls = ssl.create_default_context(cafile=str(folder / "fullchain.pem"))
        self._http = httpx.Client(verify=self.tls, trust_env=False, timeout=30)

    def close(self) -> None:
        self._http.close()

    def ask(self, method: str, name: str, path: str, **options: object) -> httpx.Response:
        return self._http.request(
            method,
            f"https://127.0.0.1:{self.port}{path}",
            headers={"Host": name},
            extensions={"sni_hostname": name},
            **options,  # type: ignore[arg-type]
        )


@pytest.fixture(scope="module")
def shop(broker: Broker) -> Shop:
    return open_shop(broker)


@pytest.fixture(scope="module")
def proxy(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("proxy")
    ports = dict(zip(("plain", "tls", "ingest", "recommender"), free_ports(4), strict=True))
    configuration = adapt(
        folder,
        plain=ports["plain"],
        tls=ports["tls"],
        ingest=[ports["ingest"]],
        recommender=[ports["recommender"]],
    )
    with (
        run_service("ingest", shop.settings, folder / "ingest", port=ports["ingest"], environment=TRUST),
        run_service(
            "recommender", shop.settings, folder / "recommender", port=ports["recommender"], environment=TRUST
        ),
        run_nginx(folder, configuration) as process,
        closing(Proxy(folder, ports["tls"])) as running,
    ):
        wait_for(running, process, 200, INGEST, RECOMMENDER)
        yield running


@pytest.fixture
def absent_recommenders(tmp_path: Path) -> Iterator[tuple[Proxy, int]]:
    """A proxy before two recommenders of which neither is there, and the port of one of them."""
    plain, tls, ingest, *recommenders = free_ports(5)
    configuration = adapt(tmp_path, plain=plain, tls=tls, ingest=[ingest], recommender=recommenders)
    with (
        run_nginx(tmp_path, configuration) as process,
        closing(Proxy(tmp_path, tls)) as proxy,
    ):
        wait_for(proxy, process, 502)
        yield proxy, recommenders[1]


def wait_for(proxy: Proxy, process: "subprocess.Popen[bytes]", status: int, *names: str) -> None:
    """Until nginx runs; these answer as they are to, by default the recommender."""
    while True:
        assert process.poll() is None, (proxy.folder / "start").read_text()
        try:
            for name in names or (RECOMMENDER,):
                assert proxy.ask("GET", name, "/readyz").status_code == status
            return
        except httpx.ConnectError:
            continue


async def test_an_event_a_row_and_a_socket_pass(proxy: Proxy, shop: Shop, visitor: str) -> None:
    token = shop.token(visitor)
    event = {"event_id": str(ULID()), "type": "view_item", "visitor_id": visitor, "product_id": "p4"}
    sent = {"events": [event | {"occurred_at": int(now_ms())}]}
    answer = proxy.ask("POST", INGEST, f"/v1/events?token={quote(token)}", json=sent)
    assert answer.status_code == 202
    row = proxy.ask("GET", RECOMMENDER, f"/v1/recommendations?visitor_id={visitor}&k=20&token={quote(token)}")
    assert (row.status_code, row.headers["content-encoding"]) == (200, "gzip")
    assert row.json()["items"]
    url = f"wss://{RECOMMENDER}/v1/live?visitor_id={visitor}&token={quote(token)}"
    async with connect(url, host="127.0.0.1", port=proxy.port, ssl=proxy.tls, proxy=None) as socket:
        live = Live(socket)
        await live.subscribe(FOR_YOU)
        assert (await live.next())["slot"] == "for_you"
    log = (proxy.folder / "eddy.log").read_text()
    assert "/v1/events 202" in log
    assert token not in log


def test_what_is_for_inside_stays_there(proxy: Proxy) -> None:
    for name in (INGEST, RECOMMENDER):
        for path in ("/metrics", "/docs", "/openapi.json"):
            assert proxy.ask("GET", name, path).status_code == 404


def test_more_than_any_path_takes_is_not_even_read(proxy: Proxy) -> None:
    assert proxy.ask("PUT", INGEST, "/v1/products", content=bytes(7 << 20)).status_code == 413


class KafkaIsAway(BaseHTTPRequestHandler):
    """An ingest that answers as one does whose Kafka does not."""

    def do_POST(self) -> None:
        self.send_response(503)
        self.send_header("Retry-After", "1")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def test_ingests_that_wait_for_kafka_are_asked_again_and_say_so_themselves(tmp_path: Path) -> None:
    plain, tls, recommender, *ingests = free_ports(5)
    configuration = adapt(tmp_path, plain=plain, tls=tls, ingest=ingests, recommender=[recommender])
    with ExitStack() as stack:
        for port in ingests:
            server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", port), KafkaIsAway))
            Thread(target=server.serve_forever).start()
            stack.callback(server.shutdown)
        process = stack.enter_context(run_nginx(tmp_path, configuration))
        proxy = stack.enter_context(closing(Proxy(tmp_path, tls)))
        wait_for(proxy, process, 502)
        for _ in range(6):
            answer = proxy.ask("POST", INGEST, "/v1/events", json={"events": []})
            assert (answer.status_code, answer.headers.get("Retry-After")) == (503, "1")


async def test_all_sockets_are_back_with_the_first_recommender_that_is_there_again(
    absent_recommenders: tuple[Proxy, int],
) -> None:
    proxy, port = absent_recommenders
    url = f"wss://{RECOMMENDER}/v1/live?visitor_id=v"

    def open_socket() -> connect:
        return connect(url, host="127.0.0.1", port=proxy.port, ssl=proxy.tls, proxy=None)

    async def stay(socket: ServerConnection) -> None:
        await socket.wait_closed()

    with pytest.raises(InvalidStatus, match="502"):
        async with open_socket():
            pass
    # From here on nginx knows that both have failed; it may not wait, nor let in one after the other.
    async with serve(stay, "127.0.0.1", port), AsyncExitStack() as pages:
        for _ in range(20):
            await pages.enter_async_context(open_socket())
