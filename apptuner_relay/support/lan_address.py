"""This machine's address in its network, as phones there reach it, and the addresses that are no
use to them."""

import fcntl
import socket
import struct
from collections.abc import Iterable, Iterator
from ipaddress import ip_address

_ELSEWHERE = ("192.0.2.1", 9)
"""An address for documentation (RFC 5737), which no machine has: only the route is looked up."""
_SIOCGIFADDR = 0x8915
"""Asks for the IPv4 address of an interface; see netdevice(7)."""
_IFREQ = struct.Struct("16s24x")
_IFREQ_ADDRESS = slice(20, 24)


def find_lan_address(addresses: Iterable[str] | None = None) -> str | None:
    """The IPv4 address with which this machine reaches others; None where it has none but loopback.

    Nothing is sent, and no name server is asked.

    :param addresses: what to choose from, the best one first; None for `own_addresses`.
    """
    for address in own_addresses() if addresses is None else addresses:
        if not is_loopback(address):
            return address
    return None


def is_loopback(host: str) -> bool:
    """Whether a host of a URL means whatever machine asks for it: a name or an address of loopback,
    or the unspecified address, which systems take for it."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or address.is_unspecified


def own_addresses() -> Iterator[str]:
    """This machine's IPv4 addresses: that of its default route, and those of its interfaces."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ELSEWHERE)
            yield probe.getsockname()[0]
        except OSError:
            # There is no default route.
            pass
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(probe, _SIOCGIFADDR, _IFREQ.pack(name.encode()))
            except OSError:
                # The interface has no such address.
                continue
            yield socket.inet_ntoa(answer[_IFREQ_ADDRESS])
