"""The endpoints of ``--listen``: a service for each, what stands before HTTP there, and what is
told where one can't be listened on.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

from twisted.application.internet import StreamServerEndpointService
from twisted.application.service import IService
from twisted.internet import endpoints
from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Site

from apptuner_relay.adopted import (
    ADOPTED,
    AdoptedEndpoint,
    BadSocket,
    PassedSockets,
    passed_sockets,
)
from apptuner_relay.certificate import BadCertificate
from apptuner_relay.descriptors import guard
from apptuner_relay.forwarded import NOBODY
from apptuner_relay.front import Complaints, Front, Prefixes, split_prefixes
from apptuner_relay.options import Options
from apptuner_relay.renewal import Renewal
from apptuner_relay.secure import tune_tls
from apptuner_relay.service import RelayService
from apptuner_relay.signals import SignalCalls
from apptuner_relay.transport import tune

NUL = "\0"
"""What the name of a UNIX socket begins with that has no file; shown as @."""
ENDPOINT_EXAMPLES = (
    "try tcp:3000, tcp:3000:interface=127.0.0.1, unix:/run/relay.sock, "
    "systemd:name=relay or tls:tcp:443"
)


class CannotListen(Exception):
    """An endpoint can't be listened on; the text says which, and why."""


class Listener(StreamServerEndpointService):
    """Listens on one endpoint. When it can't, the process ends with one line that says why."""

    log = Logger()

    def __init__(
        self,
        description: str,
        endpoint: IStreamServerEndpoint,
        factory: IProtocolFactory,
        daemon: bool,
        prepare: Callable[[IListeningPort], None],
    ) -> None:
        super().__init__(endpoint, factory)
        self._prepare = prepare
        self._description = description
        self.is_adopted = split_prefixes(description).endpoint.startswith(ADOPTED)
        self._daemon = daemon
        self._wrong: str | None = None
        self.address: IAddress | None = None
        """Where it listens, once it does, for plain HTTP."""

    def privilegedStartService(self) -> None:
        """:raises CannotListen: in a daemon, whose parent then reports it and exits with 1."""
        self._waitingForPort = self.endpoint.listen(self.factory)
        self._waitingForPort.addCallbacks(self._listening, self._failed)
        if self._wrong is None:
            return
        if self._daemon:
            raise CannotListen(self._wrong.removeprefix("cannot listen on "))
        # By now twistd has taken sys.stderr for the log.
        print(f"apptuner-relay: {self._wrong}", file=sys.__stderr__)
        sys.exit(1)

    def _listening(self, port: IListeningPort) -> IListeningPort:
        tune(port, self.is_adopted)
        self._prepare(port)
        prefixes = split_prefixes(self._description)
        if not (prefixes.proxied or prefixes.secure):
            self.address = port.getHost()
        front = self._description.removesuffix(prefixes.endpoint)
        self.log.info("listening on {address}", address=front + _show_address(port.getHost()))
        return port

    def _failed(self, failure: Failure) -> None:
        reason = getattr(failure.value, "socketError", failure.value)
        text = getattr(reason, "strerror", None) or str(reason)
        self._wrong = f"cannot listen on {self._description}: {text}"


def _show_address(address: object) -> str:
    if isinstance(address, UNIXAddress):
        return f"unix:{os.fsdecode(address.name or b'').replace(NUL, '@')}"
    host = getattr(address, "host", "?")
    return f"tcp:{f'[{host}]' if ':' in host else host}:{getattr(address, 'port', '?')}"


def is_adopted(service: IService) -> bool:
    """Whether others hold on to the socket that it listens on."""
    return isinstance(service, Listener) and service.is_adopted


def addresses(services: list[IService]) -> list[IAddress | None]:
    """Where those that are listeners listen; see `Listener.address`."""
    return [one.address for one in services if isinstance(one, Listener)]


def make_listeners(
    options: Options, relay: RelayService, site: Site, reactor: Any, calls: SignalCalls
) -> list[IService]:
    """A `Listener` for each endpoint, and what keeps the certificate of those that speak TLS;
    exits with one line if one is no endpoint string."""
    daemon = options.parent is not None and not options.parent["nodaemon"]
    fronts = Fronts(relay, site, reactor, calls)
    passed = passed_sockets()
    listeners = []
    for description in options.settings.listen:
        try:
            prefixes = split_prefixes(description)
            found = make_endpoints(prefixes.endpoint, reactor, passed)
        except Exception as wrong:
            # Endpoint plugins read files and parse numbers, and raise whatever that raises.
            why = str(wrong) or type(wrong).__name__
            if not isinstance(wrong, BadSocket):
                why += f" ({ENDPOINT_EXAMPLES})"
            sys.exit(
                f"apptuner-relay: {options.listen_source}: {description!r} can't be listened on: "
                f"{why}"
            )
        try:
            factory = fronts.make(prefixes)
        except ValueError as wrong:
            sys.exit(f"apptuner-relay: {options.listen_source}: {description!r}: {wrong}")
        listeners += [
            Listener(description, endpoint, factory, daemon, fronts.prepare) for endpoint in found
        ]
    if passed.idle:
        Listener.log.warn(
            "nobody listens on what was passed on: {sockets}. Who connects there waits for ever: "
            "name it in --listen, or take it out of the .socket unit",
            sockets="; ".join(one.describe() for one in passed.idle),
        )
    return [*listeners, *fronts.services]


def make_endpoints(
    description: str, reactor: Any, passed: PassedSockets
) -> list[IStreamServerEndpoint]:
    """What a string stands for: one endpoint, or all sockets of a name.

    :raises BadSocket: such a socket can't be had; other exceptions likewise, for other strings.
    """
    if not description.startswith(ADOPTED):
        return [endpoints.serverFromString(reactor, description)]
    found = passed.find(description)
    return [AdoptedEndpoint(reactor, one.take(description)) for one in found]


class Fronts:
    """Makes what stands before the Site at each endpoint. `services` keep their certificate."""

    def __init__(self, relay: RelayService, site: Site, reactor: Any, calls: SignalCalls) -> None:
        self._calls = calls
        self._relay = relay
        self._site = site
        self._reactor = reactor
        self._complaints = Complaints(relay.meters.turn_away, relay.clock.seconds)
        self._renewal: Renewal | None = None
        self.services: list[IService] = []

    def make(self, prefixes: Prefixes) -> IProtocolFactory:
        """:raises ValueError: an option that it needs is missing or wrong."""
        if not (prefixes.proxied or prefixes.secure):
            return self._site
        settings = self._relay.settings
        if prefixes.proxied and settings.trusted_proxy == NOBODY:
            raise ValueError("proxy: needs --trusted-proxy, which says whose PROXY headers count")
        return Front(
            self._site,
            self._reactor,
            settings.handshake_timeout,
            self._complaints,
            settings.trusted_proxy if prefixes.proxied else None,
            self._find_renewal() if prefixes.secure else None,
        )

    def prepare(self, port: IListeningPort) -> None:
        """Have a new port do what all do."""
        tune_tls(port)
        guard(port, self._relay.descriptors, self._turn_away)

    def _turn_away(self, host: str | None) -> None:
        self._complaints.add("descriptors", host, "no file descriptor is left for it")

    def _find_renewal(self) -> Renewal:
        if self._renewal is None:
            settings = self._relay.settings
            if settings.tls_cert is None:
                raise ValueError("tls: needs --tls-cert, the certificate's file")
            try:
                self._renewal = renewal = Renewal(
                    settings.tls_cert,
                    settings.tls_key,
                    self._reactor,
                    settings.tls_look,
                    self._relay.wall_s,
                )
            except BadCertificate as wrong:
                raise ValueError(f"--tls-cert, --tls-key: {wrong}") from None
            self._relay.meters.watch_certificate(renewal)
            self._calls.reload("the TLS certificate", renewal.reload)
            self.services = [renewal]
        return self._renewal
