"""nginx as infra/proxy/nginx.conf sets it up, but for ports, names, files, and who runs it."""

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from infra.stack.broker import ROOT

INGEST: Final = "ingest.example.com"
RECOMMENDER: Final = "recommender.example.com"
TRUST: Final = {"EDDY_TRUSTED_PROXIES": "127.0.0.1"}  # what the services behind it are told


def adapt(
    folder: Path,
    *,
    plain: int,
    tls: int,
    ingest: Sequence[int],
    recommender: Sequence[int],
    names: Mapping[str, str] | None = None,
    connections: int = 512,
) -> str:
    """The configuration; a line for each port of an ingest and of a recommender."""
    text = (ROOT / "infra" / "proxy" / "nginx.conf").read_text()
    for before, after in {
        "listen 80;": f"listen 127.0.0.1:{plain};",
        "listen 443 ssl": f"listen 127.0.0.1:{tls} ssl",
        "/etc/ssl/eddy": str(folder),
        "/var/log/nginx": str(folder),
        "/run/nginx.pid": str(folder / "nginx.pid"),
        "worker_processes auto": "worker_processes 1",
        "worker_rlimit_nofile 65536;": "",  # the machine that tests may allow less
        "worker_connections 16384": f"worker_connections {connections}",
        **(names or {}),
    }.items():
        assert before in text, before
        text = text.replace(before, after)
    for standard, ports in {8001: ingest, 8002: recommender}.items():
        text, places = re.subn(rf"( *)server 127.0.0.1:{standard}( [^;]*;)", partial(_servers, ports), text)
        assert places
    return text


def _servers(ports: Sequence[int], line: re.Match[str]) -> str:
    """Such a line for each port."""
    return "\n".join(f"{line[1]}server 127.0.0.1:{port}{line[2]}" for port in ports)


@contextmanager
def run_nginx(folder: Path, configuration: str) -> Iterator["subprocess.Popen[bytes]"]:
    """nginx for the block, with a certificate made for it; what it says of its start lies in `start`."""
    make_certificate = [
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=eddy",
        "-addext", f"subjectAltName=DNS:{INGEST},DNS:{RECOMMENDER}",
        "-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem"),
    ]  # fmt: skip
    subprocess.run(make_certificate, check=True, capture_output=True)
    (folder / "nginx.conf").write_text(configuration)
    command = ["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "start"), "-g", "daemon off;"]
    with subprocess.Popen(command) as process:
        try:
            yield process
        finally:
            process.terminate()
