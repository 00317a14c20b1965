"""`make audit` fails on what is known, on exceptions that have run out, and where nobody could be asked."""

import json
import threading
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from infra.audit import (
    Answer,
    Ignored,
    Known,
    app,
    judge,
    read_ignored,
    read_npm_audit,
    read_pip_audit,
    require_answer,
)
from services.errors import OperationFailed
from tests.support.machine import free_ports

TODAY = date(2026, 11, 29)
FOUND = Known("jinja2 2.4.1", frozenset({"PYSEC-2014-8", "CVE-2014-1402"}), ("2.7.2",))
BY_ALIAS = Ignored(id="CVE-2014-1402", reason="no template of ours is written by others", until=TODAY)


def test_what_is_known_is_told_with_its_fix() -> None:
    assert judge([FOUND], [], TODAY) == ["jinja2 2.4.1: CVE-2014-1402, PYSEC-2014-8; fixed in 2.7.2"]
    assert judge([], [], TODAY) == []


def test_an_exception_holds_up_to_its_day_by_any_of_the_names() -> None:
    assert judge([FOUND], [BY_ALIAS], TODAY) == []
    [counts, old] = judge([FOUND], [BY_ALIAS], date(2026, 11, 30))
    assert counts.startswith("jinja2 2.4.1")
    assert "ignored until 2026-11-29" in old


def test_an_exception_that_nothing_needs_is_to_go() -> None:
    assert "take it out" in judge([], [BY_ALIAS], TODAY)[0]


def test_packages_that_nobody_could_be_asked_about_are_no_good_news() -> None:
    report = {"dependencies": [{"name": "uv", "skip_reason": "Dependency not found on PyPI"}], "fixes": []}
    with pytest.raises(OperationFailed, match="nothing can be said: of 1 packages"):
        require_answer([read_pip_audit(report)])
    with pytest.raises(OperationFailed, match="nothing can be said"):
        require_answer([Answer(0, (), ())])
    require_answer([Answer(3, (FOUND,), ())])


def test_npm_tells_those_that_have_an_advisory_of_their_own() -> None:
    advisory = {"url": "https://github.com/advisories/GHSA-aaaa-bbbb-cccc"}
    report = {
        "vulnerabilities": {
            "ws": {"range": "<8", "via": [advisory], "fixAvailable": {"version": "8.1.0"}},
            "sdk": {"range": "*", "via": ["ws"], "fixAvailable": False},
        },
        "metadata": {"dependencies": {"total": 9}},
    }
    assert read_npm_audit(report) == Answer(
        9, (Known("ws <8", frozenset({"GHSA-aaaa-bbbb-cccc"}), ("8.1.0",)),), ()
    )
    with pytest.raises(OperationFailed, match=r"405.*--python-only"):
        read_npm_audit({"message": "405 Method Not Allowed"})


def test_the_projects_exceptions_have_reasons_and_dates(tmp_path: Path) -> None:
    read_ignored()
    (tmp_path / "p.toml").write_text('[[tool.eddy.audit]]\nid = "CVE-1"\nreason = "because"\n')
    with pytest.raises(OperationFailed, match="reason"):
        read_ignored(tmp_path / "p.toml")


class Advisories(BaseHTTPRequestHandler):
    """OSV's API, which knows one vulnerability of one package."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        found: dict[str, Any] = {}
        if asked["package"]["name"] == "jinja2":
            affected = {
                "package": {"name": "jinja2", "ecosystem": "PyPI"},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.7.2"}]}],
            }
            found = {"vulns": [{"id": "PYSEC-2014-8", "aliases": ["CVE-2014-1402"], "affected": [affected]}]}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(found).encode())

    def log_message(self, *_arguments: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def osv() -> Iterator[str]:
    """Where it answers."""
    server = HTTPServer(("127.0.0.1", 0), Advisories)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query"
    server.shutdown()
    server.server_close()


@pytest.mark.skipif(find_spec("pip_audit") is None, reason="pip-audit is not installed: make setup")
@pytest.mark.parametrize(("pinned", "status"), [("jinja2==2.4.1", 1), ("msgspec==0.18.0", 0)])
def test_the_real_tool_ends_with_1_where_something_is_known(
    pinned: str, status: int, osv: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "lock").write_text(f"{pinned}\n")
    done = CliRunner().invoke(app, ["--python-only", "--osv-url", osv, "--lock", str(tmp_path / "lock")])
    assert done.exit_code == status, done.output + repr(done.exception)
    assert ("PYSEC-2014-8" in done.output) is bool(status)


@pytest.mark.skipif(find_spec("pip_audit") is None, reason="pip-audit is not installed: make setup")
def test_where_nobody_answers_it_ends_with_2_and_says_what_can_be_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "lock").write_text("jinja2==2.4.1\n")
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}/v1/query"
    done = CliRunner().invoke(app, ["--python-only", "--osv-url", nobody, "--lock", str(tmp_path / "lock")])
    assert done.exit_code == 2
    assert "Connection refused" in done.output
    assert "run it where pypi.org itself answers" in done.output
