"""What names and connections mean: DNS and TCP. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from apptuner_relay.client.doctor.finding import (
    Finding,
    failed,
    fine,
    in_figures,
    show_ms,
    skipped,
    warned,
)

_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
_WEB_PORTS = (80, 443)


class LookupProblem(Enum):
    """Why a name has no addresses."""

    UNKNOWN = auto()
    """The name servers know no such name, or none with an address."""
    AWAY = auto()
    """No name server answers."""
    SLOW = auto()
    """There was no answer in time."""
    OTHER = auto()


class DialProblem(Enum):
    """Why there is no connection to an address; the value says it to people."""

    REFUSED = "refused"
    SILENT = "no answer"
    NO_ROUTE = "no route"
    OTHER = "failed"


@dataclass(frozen=True)
class IpAddress:
    """Where a host may be."""

    text: str
    is_v6: bool

    @property
    def family(self) -> str:
        """``IPv4`` or ``IPv6``."""
        return "IPv6" if self.is_v6 else "IPv4"


@dataclass(frozen=True)
class LookedUp:
    """What became of a name."""

    host: str
    addresses: Sequence[IpAddress] = ()
    took_s: float = 0.0
    is_literal: bool = False
    """Whether the host is an address itself."""
    problem: LookupProblem | None = None
    words: str = ""
    """The resolver's own words, if there was a problem."""


@dataclass(frozen=True)
class Dialled:
    """What became of a connection to one address."""

    address: IpAddress
    took_s: float = 0.0
    problem: DialProblem | None = None
    words: str = ""
    """The system's own words, where the problem is `OTHER`."""


def judge_names(looked_up: LookedUp) -> Finding:
    """DNS."""
    host = looked_up.host
    if looked_up.is_literal:
        [address] = looked_up.addresses
        return skipped("dns", f"{host} is an {address.family} address: there is no name to look up")
    figures = {
        "addresses": [one.text for one in looked_up.addresses],
        "took_ms": in_figures(looked_up.took_s),
    }
    took = show_ms(looked_up.took_s)
    match looked_up.problem:
        case LookupProblem.UNKNOWN:
            return failed(
                "dns",
                f"{host}: there is no such name, or it has no address",
                "Is it spelled as the relay's operator gave it? A name that is known only inside "
                "of a network (VPN, office) is not known outside.",
                **figures,
            )
        case LookupProblem.AWAY:
            return failed(
                "dns",
                f"{host}: no name server answers ({looked_up.words})",
                "Is this machine online? Its name servers are in /etc/resolv.conf.",
                **figures,
            )
        case LookupProblem.SLOW:
            return failed(
                "dns",
                f"{host}: no answer from the name servers in {took}",
                "Clients wait as long before they connect. The name servers are in "
                "/etc/resolv.conf; try another one, such as your router's or 9.9.9.9.",
                **figures,
            )
        case LookupProblem.OTHER:
            return failed(
                "dns", f"{host}: {looked_up.words}", "Is the host's name a valid one?", **figures
            )
    addresses = ", ".join(f"{one.text} ({one.family})" for one in looked_up.addresses)
    return fine("dns", f"{host} is {addresses}; {took}", **figures)


def judge_dials(host: str, port: int, dials: Sequence[Dialled]) -> Finding:
    """TCP, to each address. `host` is as it was given."""
    figures = {
        "port": port,
        "addresses": [
            {
                "address": one.address.text,
                "connect_ms": None if one.problem else in_figures(one.took_s),
                "problem": one.problem.name.lower() if one.problem else None,
            }
            for one in dials
        ],
    }
    text = "; ".join(map(_shown, dials))
    broken = [one for one in dials if one.problem]
    if len(broken) == len(dials):
        return failed(
            "tcp", f"port {port}: {text}", _why_nobody(host, port, broken[0].problem), **figures
        )
    # A machine without IPv6 has addresses of it all the same; nobody tries what has no route.
    if any(one.problem is not DialProblem.NO_ROUTE for one in broken):
        names = " and ".join(one.address.text for one in broken)
        return warned(
            "tcp",
            f"port {port}: {text}",
            f"Clients that try {names} first wait, or fail. Have the relay (or what is in front "
            "of it) listen there too, or take the address out of the DNS.",
            **figures,
        )
    return fine("tcp", f"port {port}: {text}", **figures)


def _shown(one: Dialled) -> str:
    match one.problem:
        case None:
            return f"{one.address.text} in {show_ms(one.took_s)}"
        case DialProblem.SILENT:
            return f"{one.address.text}: no answer in {show_ms(one.took_s)}"
        case DialProblem.NO_ROUTE:
            where = " (this machine has no IPv6)" if one.address.is_v6 else ""
            return f"{one.address.text}: no route to it{where}"
        case DialProblem.REFUSED:
            return f"{one.address.text} refused the connection"
    return f"{one.address.text}: {one.words}"


def _why_nobody(host: str, port: int, problem: DialProblem | None) -> str:
    match problem:
        case DialProblem.REFUSED if host in _LOCAL_NAMES:
            return (
                f"Nothing listens on port {port} of this machine. Is the relay running, and is "
                "that its port? Its log says what it is listening on."
            )
        case DialProblem.REFUSED if port in _WEB_PORTS:
            return (
                f"The machine is there, but no web server or balancer listens on port {port}. A "
                "relay without one is reached by its own port: --relay ws://HOST:3000."
            )
        case DialProblem.REFUSED:
            return (
                f"The machine is there, but nothing listens on port {port}, or its firewall "
                "refuses. Is the relay running, does it listen on that address and not on "
                "127.0.0.1 only, and is that its port?"
            )
        case DialProblem.SILENT:
            return (
                "A firewall drops what is sent there, the machine is off, or it is in another "
                "network: a phone has to be in the same Wi-Fi as a relay with a private address."
            )
        case DialProblem.NO_ROUTE:
            return "Is this machine online, and in the network (VPN, Wi-Fi) in which the relay is?"
    return "The system says so; connecting is not possible from this machine as it is."
