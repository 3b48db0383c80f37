"""The address of a client behind proxies, from X-Forwarded-For. Pure.

Each proxy appends the address of its own client to that list. The rest of the list may be forged.
So the list is read from the right, as long as each entry was written by a proxy that the operator
trusts. The first address that is not such a proxy's is the client's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

FIELD = "x-forwarded-for"
UNKNOWN = "an unknown address"
"""How logs show an address that is None."""

_UNIX = "unix"
_MAPPED_BITS = 96
"""Length of ::ffff:0:0/96, in which IPv4 addresses are written as IPv6 ones (RFC 4291 §2.5.5.2)."""


@dataclass(frozen=True)
class TrustedProxies:
    """The proxies whose X-Forwarded-For is believed. ``unix`` is for every client of a UNIX
    socket."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    unix: bool = False

    @classmethod
    def parse(cls, text: str) -> "TrustedProxies":
        """Parse the option ``--trusted-proxy``: addresses, networks (``10.0.0.0/8``) and the word
        ``unix``, with commas or spaces between them; ``none`` or nothing for no proxy.

        :raises ValueError: it is something else. The text continues the option's name.
        """
        words = text.replace(",", " ").lower().split()
        if words == ["none"]:
            return NOBODY
        networks = tuple(_network(word) for word in words if word != _UNIX)
        return cls(networks, _UNIX in words)

    def client(self, peer: str | None, fields: Sequence[str]) -> str | None:
        """The address of the client behind a connection.

        :param peer: the address of the connection's peer; None for a UNIX socket.
        :param fields: the X-Forwarded-For fields of the request, in their order.
        :return: an IP address. An IPv4-mapped IPv6 address is given as IPv4. None if the address is
            not known: for a UNIX socket, or if a trusted proxy sends something else than an
            address.
        """
        if not self.trusts(peer):
            return None if peer is None else _show_address(peer)
        address = None if peer is None else read_address(peer)
        for text in reversed(",".join(fields).split(",")):
            if not text.strip():
                continue  # RFC 9110 §5.6.1.2
            address = read_address(text.strip())
            if not self._trusts(address):
                break
        return None if address is None else str(address)

    def trusts(self, peer: str | None) -> bool:
        """Whether ``peer`` is a trusted proxy; None is for a UNIX socket."""
        if peer is None:
            return self.unix
        return bool(self.networks) and self._trusts(read_address(peer))

    def _trusts(self, address: IPv4Address | IPv6Address | None) -> bool:
        return address is not None and any(address in network for network in self.networks)


NOBODY = TrustedProxies()


def host_of(peer: object) -> str | None:
    """The IP address of a Twisted address; None for that of a UNIX socket."""
    host: str | None = getattr(peer, "host", None)
    return host


@lru_cache(maxsize=1024)  # Called twice for each client.
def read_address(text: str) -> IPv4Address | IPv6Address | None:
    """``192.0.2.1``, ``192.0.2.1:4711``, ``2001:db8::1``, ``[2001:db8::1]``,
    ``[2001:db8::1]:4711``; None if it is not an address. A zone (``%eth0``) is left out."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


@lru_cache(maxsize=1024)
def _show_address(text: str) -> str | None:
    address = read_address(text)
    return None if address is None else str(address)


def _network(word: str) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(word)
    except ValueError:
        raise ValueError(
            "must be addresses or networks such as 10.0.0.0/8 or 2001:db8::/32 (with no bit set "
            "behind the prefix), unix, or none"
        ) from None
    if network.prefixlen == 0:
        raise ValueError("a network of all addresses would trust everybody")
    if isinstance(network, IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))
    return network
