"""Which addresses pictures may come from."""

import socket
import threading
import time
from ipaddress import IPv4Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.embedder.errors import HostAway, PrivateAddress, Unreachable
from services.embedder.pictures.fetch import is_public, resolve_host


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
        "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "2001:db8::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "2002:a00:1::", "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe", "192.0.0.1", "192.0.0.192", "192.88.99.1", "168.63.129.16", "100.100.100.200",
        "::7f00:1", "::101:101", "::ffff:0:7f00:1", "64:ff9b:1::1", "64:ff9b:1::101:101", "fec0::1",
        "2001:0:7f00:1::", "2001:0:101:101::f5ff:fffe", "2001:2::1", "2001:20::1", "3fff::1", "5f00::1",
        "100::1", "2606:4700::5efe:a00:1", "2606:4700::200:5efe:7f00:1", "fe80::5efe:101:101", "feff::1",
        "2002:c000:c0::", "::ffff:192.0.0.192", "::ffff:192.88.99.1", "64:ff9b::c000:c0",
    ],
)  # fmt: skip
def test_private_addresses_are_seen_however_they_are_written(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "2002:101:101::",
        "2606:4700::5efe:101:101", "192.0.1.1", "192.88.98.1", "2001:200::1",
    ],
)  # fmt: skip
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses(v=4), st.sampled_from(["::ffff:", "::ffff:0:", "64:ff9b::", "2002:", "2001:0:"]))
def test_an_ipv4_inside_an_ipv6_is_judged_as_itself(inner: IPv4Address, prefix: str) -> None:
    halves = f"{int(inner) >> 16:x}:{int(inner) & 0xFFFF:x}"
    outer = {"2002:": f"2002:{halves}::1", "2001:0:": f"2001:0:{halves}::fefe:fefe"}.get(
        prefix, prefix + halves
    )
    assert is_public(outer) == is_public(str(inner))


def names(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Lets every name resolve to these addresses."""

    def resolve(_host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def test_a_name_is_judged_by_what_it_resolves_to(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, "1.1.1.1", "10.0.0.1")
    with pytest.raises(PrivateAddress, match=r"10\.0\.0\.1.*EDDY_PICTURE_PRIVATE_HOSTS"):
        resolve_host("shop.example", 443, private_allowed=False)
    assert resolve_host("shop.example", 443, private_allowed=True) == ["1.1.1.1", "10.0.0.1"]
    names(monkeypatch, "1.1.1.1")
    assert resolve_host("shop.example", 443, private_allowed=False) == ["1.1.1.1"]


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "127.1", "localhost"])
def test_other_ways_to_write_loopback_are_seen_through(host: str) -> None:
    with pytest.raises((PrivateAddress, Unreachable)):
        resolve_host(host, 80, private_allowed=False)


def test_a_name_without_an_address_is_unreachable() -> None:
    with pytest.raises(Unreachable):
        resolve_host("a" * 300 + ".example", 80, private_allowed=False)


def test_a_name_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: never.wait(20))
    started = time.monotonic()
    with pytest.raises(HostAway, match="looking up"):
        resolve_host("slow.example", 443, private_allowed=False, within_s=0.1)
    assert time.monotonic() - started < 5
    never.set()


def test_a_name_server_that_is_away_may_be_back_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_AGAIN, "temporary failure")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(HostAway):
        resolve_host("shop.example", 443, private_allowed=False)
