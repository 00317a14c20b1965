"""Which release each running process is of: the members of the groups, and who answers at /healthz."""

import socket
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import httpx
from confluent_kafka import KafkaException

from schemas.unreadable import Unreadable, read
from services.kafka.admin import KafkaAdmin
from services.ops import services
from services.ops.doctor.report import Finding
from services.ops.lag.report import list_groups
from services.ops.settings import OpsSettings
from services.version import UNTOLD, VERSION, version_of

ASK_S: Final = 3.0
ASKED_AT_A_TIME: Final = 16
ADDRESSES_MAX: Final = 64  # of one name: a headless service of Kubernetes has one a pod
UPDATE: Final = (
    "right while an update is under way; else end the older ones and start them from the newer release, in "
    "the order of infra/docs/upgrade.md"
)


@dataclass(frozen=True, slots=True)
class Instance:
    """One process: its service, a name that finds it, and its release."""

    service: str
    name: str
    version: str


def releases(settings: OpsSettings, broker_answers: bool) -> list[Finding]:
    """One line. Recommenders and ingests have no group: of those behind a proxy, it is who the proxy asks."""
    places = [(each, services.url_of(settings, each)) for each in services.SERVICES]
    asked = [(service, url, address) for service, url in places for address in _addresses(url)]
    with ThreadPoolExecutor(ASKED_AT_A_TIME) as pool:
        found = [each for each in pool.map(_ask, *zip(*asked, strict=True)) if each] if asked else []
    if broker_answers:
        with suppress(KafkaException):  # the groups' own lines tell of it
            found += _members(settings)
    return [judge(found)]


def judge(running: Iterable[Instance], own: str = VERSION) -> Finding:
    """What the processes found mean beside each other, and beside these commands. Pure."""
    by_version: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for each in running:
        by_version[each.version][each.service].add(each.name)
    if not by_version:
        return Finding("releases", "ok", f"nothing runs; these commands are {own}")
    told = "; ".join(f"{version}: {_name(by_version[version])}" for version in sorted(by_version, key=_order))
    if len(by_version) > 1:
        return Finding("releases", "warn", f"several at once: {told}; these commands are {own}", UPDATE)
    if own not in by_version:
        what = "take the commands of the release that runs, or update the services: infra/docs/upgrade.md"
        return Finding("releases", "warn", f"{told}; these commands are {own}", what)
    return Finding("releases", "ok", told)


def _order(version: str) -> tuple[int, ...]:
    """Releases as they came; what is no number is last."""
    numbers = version.split(" ", maxsplit=1)[0].split(".")
    return tuple(int(each) if each.isdecimal() else 1 << 30 for each in numbers)


def _name(processes: Mapping[str, set[str]]) -> str:
    return ", ".join(f"{service} {' '.join(sorted(names))}" for service, names in sorted(processes.items()))


def _members(settings: OpsSettings) -> Iterator[Instance]:
    """Of the consumer groups. Raises KafkaException."""
    admin = KafkaAdmin(settings, ASK_S)
    for watched in list_groups(settings):
        group = admin.group(watched.group)
        for each in group.members if group else ():
            name = each.group_instance_id or each.host.lstrip("/")
            yield Instance(watched.service, name, version_of(each.client_id) or UNTOLD)


def _ask(service: str, url: str, address: str) -> Instance | None:
    """Who answers at /healthz there. That nobody does is told by the service's own line."""
    with suppress(httpx.HTTPError, httpx.InvalidURL, Unreadable):
        answer = ask(url, address)
        told = read(services.decode_health, answer.content)
        if answer.status_code == httpx.codes.OK and told.status == "ok":
            return Instance(service, _place(url, address), told.version or UNTOLD)
    return None


def ask(url: str, address: str) -> httpx.Response:
    """/healthz of the host of a URL at one of its addresses, by the host's own name and certificate."""
    parts = urlsplit(url)
    there = urlunsplit((parts.scheme, _place(url, address), f"{parts.path}/healthz", "", ""))
    host = parts.hostname or ""
    with httpx.Client(timeout=services.READY_S) as client:
        return client.get(there, headers={"Host": parts.netloc}, extensions={"sni_hostname": host})


def _addresses(url: str) -> list[str]:
    """All of the host's, each once; none where its name leads nowhere."""
    try:
        parts = urlsplit(url)
        found = socket.getaddrinfo(parts.hostname, parts.port or parts.scheme, type=socket.SOCK_STREAM)
    except (OSError, ValueError, UnicodeError):
        return []
    return list(dict.fromkeys(str(each[4][0]) for each in found))[:ADDRESSES_MAX]


def _place(url: str, address: str) -> str:
    """Address and port."""
    port = urlsplit(url).port
    bare = f"[{address}]" if ":" in address else address
    return bare if port is None else f"{bare}:{port}"
