"""What the doctor makes of the releases that run beside each other, and how it finds them."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from services.kafka.clients import client_config
from services.ops.doctor.releases import Instance, ask, judge, releases
from services.ops.settings import OpsSettings
from services.session_processor.app import faust_app
from services.session_processor.settings import SessionProcessorSettings
from services.settings import ServiceSettings
from services.version import CLIENT_ID, UNTOLD, VERSION, version_of


def test_one_release_everywhere_is_as_it_should_be() -> None:
    found = judge([Instance("ingest", "a", VERSION), Instance("embedder", "b", VERSION)])
    assert (found.state, found.found) == ("ok", f"{VERSION}: embedder b, ingest a")
    assert judge([]).state == "ok"


def test_several_releases_are_named_with_their_processes_the_oldest_first() -> None:
    found = judge(
        [
            Instance("session_processor", "host-1", "0.10.0"),
            Instance("session_processor", "host-2", "0.9.1"),
            Instance("ingest", "10.0.0.1:8001", UNTOLD),
        ],
        own="0.10.0",
    )
    assert found.state == "warn"
    assert found.found == (
        f"several at once: {UNTOLD}: ingest 10.0.0.1:8001; 0.9.1: session_processor host-2; "
        "0.10.0: session_processor host-1; these commands are 0.10.0"
    )
    assert "infra/docs/upgrade.md" in found.what_to_do


def test_commands_of_another_release_than_what_runs_are_told() -> None:
    found = judge([Instance("ingest", "a", "0.3.0")], own="0.2.0")
    assert (found.state, found.found) == ("warn", "0.3.0: ingest a; these commands are 0.2.0")


def test_a_client_of_kafka_bears_the_release() -> None:
    assert client_config(ServiceSettings())["client.id"] == CLIENT_ID
    assert version_of(CLIENT_ID) == VERSION


def test_a_worker_of_faust_bears_the_release_in_its_group() -> None:
    app = faust_app(SessionProcessorSettings())
    assert app.conf.broker_client_id == CLIENT_ID


@pytest.mark.parametrize("client_id", ["rdkafka", "faust-0.15.3", "eddy", "eddy-", "sarama-eddy-1"])
def test_a_client_id_that_is_not_ours_tells_no_release(client_id: str) -> None:
    assert version_of(client_id) is None


class Answering(BaseHTTPRequestHandler):
    """/healthz of somebody: what it is to say, and by which name it was asked."""

    says: dict[str, str] = {"status": "ok"}  # noqa: RUF012 - each test sets it
    asked_as = ""

    def do_GET(self) -> None:
        type(self).asked_as = self.headers["Host"]
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()
        self.wfile.write(json.dumps(self.says).encode())

    def log_message(self, *_arguments: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def port() -> Iterator[int]:
    """Where it answers."""
    server = HTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_a_service_is_asked_at_its_address_by_its_own_name(port: int) -> None:
    Answering.says = {"status": "ok", "version": "0.7.0"}
    ask(f"http://ingest.shop.example:{port}", "127.0.0.1")
    assert Answering.asked_as == f"ingest.shop.example:{port}"


@pytest.mark.parametrize(
    ("says", "version"),
    [({"status": "ok", "version": "0.7.0"}, "0.7.0"), ({"status": "ok"}, UNTOLD), ({"status": "no"}, None)],
)
def test_who_answers_tells_its_release_or_is_older_than_that(
    says: dict[str, str], version: str | None, port: int
) -> None:
    Answering.says = says
    nobody = "http://127.0.0.1:9"
    settings = OpsSettings(
        ingest_url=f"http://127.0.0.1:{port}",
        recommender_url="http://no.such.host.invalid:1",
        session_processor_url=nobody,
        embedder_url=nobody,
    )
    [found] = releases(settings, broker_answers=False)
    expected = f"{version}: ingest 127.0.0.1:{port}" if version else "nothing runs"
    assert found.found.startswith(expected)
