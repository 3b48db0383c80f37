"""The addresses that an operator has blocked, each for a time or until it is lifted. Pure.

A block is of an address or of a network, such as the /64 of an IPv6 customer. The list is bounded,
and looking an address up takes as many steps as there are lengths of prefixes in it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import NamedTuple

from apptuner_relay.session.session import BadRequest
from apptuner_relay.support.clocks import WallClock, in_ms
from apptuner_relay.support.printable_text import printable_line

MOST_BLOCKS = 1000
REASON_CHARACTERS = 200
BLOCKED = "Your address is blocked by this relay's operator"

_LEAST_BITS = {4: 8, 6: 16}
"""The shortest prefix of a network that may be blocked, by the version of IP."""

Network = IPv4Network | IPv6Network
_LOCAL = tuple(map(ip_network, ("127.0.0.0/8", "::1/128", "0.0.0.0/32", "::/128")))


class AddressBlock(NamedTuple):
    """A network that is blocked."""

    network: Network
    since_s: float
    """By the wall clock, like `until_s`."""
    until_s: float | None
    """None for one that lasts until it is lifted."""
    reason: str = ""
    """One line, from whoever has blocked it."""

    @property
    def shown(self) -> str:
        """``192.0.2.4``, or ``2001:db8::/64``."""
        return show_network(self.network)

    def row(self) -> dict[str, object]:
        """As JSON shows it, and as the file has it."""
        return {
            "address": self.shown,
            "since_ms": in_ms(self.since_s),
            "until_ms": None if self.until_s is None else in_ms(self.until_s),
            "reason": self.reason,
        }


def show_network(network: Network) -> str:
    """A network as one types it: one of a single address without its prefix."""
    single = network.prefixlen == network.max_prefixlen
    return str(network.network_address if single else network)


def read_network(text: str) -> Network:
    """Read an address or a network.

    :raises BadRequest: 400, it is neither.
    """
    try:
        network = ip_network(text.strip())
    except ValueError:
        raise BadRequest(
            400,
            "address is an address or a network with no bit set behind its prefix, such as "
            "192.0.2.4 or 2001:db8::/64",
        ) from None
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is not None and network.prefixlen >= 96:
        return IPv4Network((mapped, network.prefixlen - 96))
    return network


class BlockList:
    """The blocks of one relay.

    :param wall_s: the time of day.
    :param protected: networks that are never blocked, beside this machine's loopback addresses:
        proxies, whose address would be that of many clients.
    """

    def __init__(self, wall_s: WallClock, protected: Iterable[Network] = ()) -> None:
        self._wall_s = wall_s
        self._protected = (*_LOCAL, *protected)
        self._blocks: dict[Network, AddressBlock] = {}
        self._lengths: Counter[tuple[int, int]] = Counter()
        """How many blocks there are of each version and length of prefix."""
        self.on_change: Callable[[], None] = lambda: None
        """Called when the list has changed."""

    def __len__(self) -> int:
        return len(self._blocks)

    def add(self, network: Network, for_s: float | None, reason: str = "") -> AddressBlock:
        """Block a network; one that is blocked already is from now on blocked so.

        :param for_s: for how long; None for ever.
        :raises BadRequest: 400, it is never blocked; 409, the list is full.
        """
        self._check(network)
        self._forget_over()
        if network not in self._blocks and len(self._blocks) >= MOST_BLOCKS:
            raise BadRequest(409, f"{MOST_BLOCKS:,} addresses are blocked, the most: lift some")
        now_s = self._wall_s()
        until_s = None if for_s is None else now_s + for_s
        block = AddressBlock(network, now_s, until_s, printable_line(reason, REASON_CHARACTERS))
        self._put(block)
        self.on_change()
        return block

    def lift(self, network: Network) -> bool:
        """Block a network no more. Returns whether it was blocked."""
        found = self._blocks.get(network)
        was_blocked = found is not None and not self._is_over(found)
        if found is not None:
            self._drop(network)
            self.on_change()
        return was_blocked

    def find(self, address: str | None) -> AddressBlock | None:
        """The block of an address; None for one that isn't blocked, or isn't known."""
        if not self._blocks or address is None:
            return None
        parsed: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
        for version, length in self._lengths:
            if version != parsed.version:
                continue
            found = self._blocks.get(ip_network((parsed, length), strict=False))
            if found is not None and not self._is_over(found):
                return found
        return None

    def check(self, address: str | None) -> None:
        """Check that an address isn't blocked.

        :raises BadRequest: 403, it is.
        """
        if self.find(address) is not None:
            raise BadRequest(403, BLOCKED)

    def list(self) -> list[AddressBlock]:
        """All blocks that last, the oldest first."""
        self._forget_over()
        return list(self._blocks.values())

    def restore(self, rows: Iterable[object]) -> int:
        """Add blocks of earlier times, from their `AddressBlock.row`. Returns how many rows are
        none, or may not be blocked any more."""
        bad = 0
        for row in rows:
            try:
                self._restore(row)
            except (BadRequest, KeyError, TypeError, ValueError):
                bad += 1
        self._forget_over()
        return bad

    def _restore(self, row: object) -> None:
        if not isinstance(row, Mapping) or len(self._blocks) >= MOST_BLOCKS:
            raise ValueError(row)
        network = read_network(str(row["address"]))
        self._check(network)
        until_ms = row["until_ms"]
        until_s = None if until_ms is None else float(until_ms) / 1000
        reason = printable_line(str(row["reason"]), REASON_CHARACTERS)
        self._put(AddressBlock(network, float(row["since_ms"]) / 1000, until_s, reason))

    def _check(self, network: Network) -> None:
        if network.prefixlen < _LEAST_BITS[network.version]:
            least = _LEAST_BITS[network.version]
            raise BadRequest(400, f"{network} is too wide: /{least} is the widest")
        for one in self._protected:
            if one.version == network.version and one.overlaps(network):
                shown = show_network(network)
                raise BadRequest(
                    400, f"{shown} is never blocked: it is this machine's, or a --trusted-proxy"
                )

    def _put(self, block: AddressBlock) -> None:
        self._drop(block.network)
        self._blocks[block.network] = block
        self._lengths[block.network.version, block.network.prefixlen] += 1

    def _drop(self, network: Network) -> None:
        if self._blocks.pop(network, None) is not None:
            key = network.version, network.prefixlen
            self._lengths[key] -= 1
            if not self._lengths[key]:
                del self._lengths[key]

    def _is_over(self, block: AddressBlock) -> bool:
        return block.until_s is not None and block.until_s <= self._wall_s()

    def _forget_over(self) -> None:
        for block in [one for one in self._blocks.values() if self._is_over(one)]:
            self._drop(block.network)
