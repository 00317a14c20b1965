"""Which network addresses a picture may be fetched from: public ones, whatever the name says."""

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

from services.embedder.refusals import PrivateAddress, Unreachable

NAT64: Final = IPv6Network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether an address is one of the open internet, seen through every way to write an IPv4 in IPv6."""
    found = ip_address(address)
    inner = _carried(found) if isinstance(found, IPv6Address) else None
    if inner is not None:
        return is_public(str(inner))
    return found.is_global and not found.is_multicast


def _carried(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a mapped, 6to4, Teredo or NAT64 address leads to."""
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)


def resolved(host: str, port: int, *, private_allowed: bool) -> list[str]:
    """The addresses of a host, the one to connect to first. Raises PrivateAddress and Unreachable.

    One private address among public ones refuses the host: which of them is used is not the host's choice.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"{host} has no address: {error}") from None
    addresses = [str(each[4][0]) for each in found]
    for address in addresses:
        if not private_allowed and not is_public(address):
            raise PrivateAddress(host, address)
    return addresses
