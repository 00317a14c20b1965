"""The health check of containers: it knows each service's port, and tells ready from not ready."""

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from services.embedder.settings import EmbedderSettings
from services.ingest.settings import IngestSettings
from services.recommender.settings import RecommenderSettings
from services.session_processor.settings import SessionProcessorSettings
from services.web import probe
from storefront.demo.settings import ShopSettings

KINDS: dict[str, type[BaseSettings]] = {
    "services.ingest": IngestSettings,
    "services.recommender": RecommenderSettings,
    "services.session_processor": SessionProcessorSettings,
    "services.embedder": EmbedderSettings,
    "storefront.demo": ShopSettings,
}


def test_ports_are_those_of_the_settings() -> None:
    assert KINDS.keys() == probe.PORTS.keys()
    for module, (name, default) in probe.PORTS.items():
        assert KINDS[module].model_fields[name.removeprefix("EDDY_").lower()].default == default


def test_the_port_is_found_by_what_process_1_runs() -> None:
    assert probe.find_port(["python", "-m", "services.ingest"], {}) == 8001
    assert probe.find_port(["/sbin/docker-init", "--", "python", "-m", "storefront.demo"], {}) == 8000
    assert probe.find_port(["python", "-m", "services.embedder"], {"EDDY_EMBEDDER_PORT": "9004"}) == 9004
    assert probe.find_port(["python", "-m", "services.ops", "lag"], {}) is None


class _Service(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/readyz" else 404)
        self.end_headers()
        self.wfile.write(b'{"waiting_for": "the broker"}')

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[tuple[int, type[_Service]]]:
    kind = type("Service", (_Service,), {})
    server = HTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_port, kind
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_service_is_well_when_it_is_ready(service: tuple[int, type[_Service]]) -> None:
    port, kind = service
    assert probe.ask(port) is None
    kind.status = 503
    assert probe.ask(port) == '{"waiting_for": "the broker"}'


def test_the_status_tells(
    service: tuple[int, type[_Service]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, kind = service
    command = tmp_path / "cmdline"
    command.write_bytes(b"python\0-m\0services.ingest\0")
    monkeypatch.setitem(os.environ, "EDDY_INGEST_PORT", str(port))
    assert probe.main(command) == 0
    kind.status = 503
    assert probe.main(command) == 1
    command.write_bytes(b"python\0-m\0services.ops\0doctor\0")
    assert probe.main(command) == 0


def test_nobody_who_listens_is_told(unused_tcp_port: int) -> None:
    assert f"port {unused_tcp_port}" in str(probe.ask(unused_tcp_port))
