"""The endpoints of ``--listen``: a service that listens on each, what its prefixes put before HTTP
there (`prefixes`), and what the operator is told where an endpoint can't be listened on.
"""

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.application.service import IService, Service
from twisted.internet import endpoints
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Site

from apptuner_relay.config.options import Options
from apptuner_relay.config.tls_use import speaks_tls
from apptuner_relay.edge.adopted import (
    ADOPTED,
    AdoptedEndpoint,
    BadSocket,
    PassedSockets,
    passed_sockets,
)
from apptuner_relay.edge.prefixes import (
    BeginTLS,
    Prefixes,
    PrefixFactory,
    RejectionLog,
    split_prefixes,
)
from apptuner_relay.edge.transport import tune
from apptuner_relay.operator.descriptors import guard
from apptuner_relay.operator.signals import SignalCalls
from apptuner_relay.relay.service import RelayService
from apptuner_relay.support.client_address import NOBODY

if TYPE_CHECKING:
    from apptuner_relay.edge.certificate_reload import CertificateReload

NUL = "\0"
"""The first character of the name of an abstract UNIX socket, which has no file; shown as @."""
ENDPOINT_EXAMPLES = (
    "try tcp:3000, tcp:3000:interface=127.0.0.1, unix:/run/relay.sock, "
    "systemd:name=relay or tls:tcp:443"
)


class CannotListen(Exception):
    """An endpoint can't be listened on; the text says which, and why."""


class ListeningService(Service):
    """Listens on one endpoint. Where it can't, the process ends with one line that says why."""

    log = Logger()

    def __init__(
        self,
        description: str,
        endpoint: IStreamServerEndpoint,
        factory: IProtocolFactory,
        daemon: bool,
        prepare: Callable[[IListeningPort], None],
    ) -> None:
        self._endpoint = endpoint
        self._factory = factory
        self._prepare = prepare
        self._port: Deferred[Any] = succeed(None)
        self._description = description
        self.is_adopted = split_prefixes(description).endpoint.startswith(ADOPTED)
        self._daemon = daemon
        self._wrong: str | None = None
        self.address: IAddress | None = None
        """Where plain HTTP is spoken, once it listens; None for an endpoint with a prefix."""
        self.shown = ""
        """Where it listens, for people."""

    def privilegedStartService(self) -> None:
        """:raises CannotListen: in a daemon, whose parent then reports it and exits with 1."""
        super().privilegedStartService()
        self._port = self._endpoint.listen(self._factory)
        self._port.addCallbacks(self._listening, self._failed)
        if self._wrong is None:
            return
        if self._daemon:
            raise CannotListen(self._wrong.removeprefix("cannot listen on "))
        # By now twistd has taken sys.stderr for the log.
        print(f"apptuner-relay: {self._wrong}", file=sys.__stderr__)
        sys.exit(1)

    def stopService(self) -> Deferred[None]:
        """Fires when it no longer listens."""
        super().stopService()
        self._port.cancel()

        def close(port: IListeningPort | None) -> object:
            return port and port.stopListening()

        return self._port.addCallback(close).addCallback(lambda done: None)

    def _listening(self, port: IListeningPort) -> IListeningPort:
        tune(port, self.is_adopted)
        self._prepare(port)
        prefixes = split_prefixes(self._description)
        if not (prefixes.proxied or prefixes.secure):
            self.address = port.getHost()
        prefix = self._description.removesuffix(prefixes.endpoint)
        self.shown = prefix + _show_address(port.getHost())
        return port

    def startService(self) -> None:
        super().startService()
        if self.shown:
            self.log.info("listening on {address}", address=self.shown)

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
    """Whether other processes hold the socket that it listens on, too."""
    return isinstance(service, ListeningService) and service.is_adopted


def are_adopted(descriptions: Sequence[str]) -> bool:
    """Whether other processes hold the sockets of all these endpoint strings, too."""
    try:
        return all(split_prefixes(one).endpoint.startswith(ADOPTED) for one in descriptions)
    except ValueError:
        # `make_listeners` says what is wrong with it.
        return False


def addresses(services: list[IService]) -> list[IAddress | None]:
    """Where plain HTTP is spoken; see `ListeningService.address`."""
    return [one.address for one in services if isinstance(one, ListeningService)]


def shown_addresses(services: list[IService]) -> list[str]:
    """Where they listen, for people."""
    return [one.shown for one in services if isinstance(one, ListeningService) and one.shown]


def make_listeners(
    options: Options, relay: RelayService, site: Site, reactor: Any, calls: SignalCalls
) -> list[IService]:
    """A `ListeningService` for each endpoint, and the `CertificateReload` of those that speak TLS.

    :raises SystemExit: one is no endpoint string; the text says which, and why.
    """
    daemon = options.parent is not None and not options.parent["nodaemon"]
    factories = EndpointFactories(relay, site, reactor, calls)
    passed = passed_sockets()
    listeners = []
    for description in options.settings.listening.listen:
        try:
            prefixes = split_prefixes(description)
            found = make_endpoints(prefixes.endpoint, reactor, passed)
        except Exception as wrong:
            # Endpoint plugins read files and parse numbers, and raise whatever that raises.
            why = explain_endpoint(wrong)
            if not isinstance(wrong, BadSocket):
                why += f" ({ENDPOINT_EXAMPLES})"
            sys.exit(
                f"apptuner-relay: {options.listen_source}: {description!r} can't be listened on: "
                f"{why}"
            )
        try:
            factory = factories.make(prefixes)
        except ValueError as wrong:
            sys.exit(f"apptuner-relay: {options.listen_source}: {description!r}: {wrong}")
        listeners += [
            ListeningService(description, endpoint, factory, daemon, factories.prepare)
            for endpoint in found
        ]
    if passed.idle:
        ListeningService.log.warn(
            "no endpoint of --listen is for what systemd has passed on: {sockets}. Clients that "
            "connect there wait for ever: name it in --listen, or take it out of the .socket unit",
            sockets="; ".join(one.describe() for one in passed.idle),
        )
    return [*listeners, *factories.services]


def explain_endpoint(wrong: Exception) -> str:
    """What is wrong with an endpoint string, for people."""
    if isinstance(wrong, OSError) and wrong.strerror:
        return f"{wrong.filename}: {wrong.strerror}" if wrong.filename else wrong.strerror
    if isinstance(wrong, ValueError) and "int()" in str(wrong):
        return "the port is not a number"
    return str(wrong) or type(wrong).__name__


def make_endpoints(
    description: str, reactor: Any, passed: PassedSockets
) -> list[IStreamServerEndpoint]:
    """The endpoints of a string: one, or one for each passed socket of a name.

    :raises BadSocket: there is no such socket. Strings of other kinds raise other exceptions.
    """
    if not description.startswith(ADOPTED):
        return [endpoints.serverFromString(reactor, description)]
    found = passed.find(description)
    return [AdoptedEndpoint(reactor, one.take(description)) for one in found]


class EndpointFactories:
    """Makes the factory of each endpoint: the Site, or a `PrefixFactory` before it. `services` has
    the `CertificateReload`, once an endpoint needs one."""

    def __init__(self, relay: RelayService, site: Site, reactor: Any, calls: SignalCalls) -> None:
        self._calls = calls
        self._relay = relay
        self._site = site
        self._reactor = reactor
        self._rejections = RejectionLog(
            relay.meters.counters.count_turned_away, relay.clock.seconds
        )
        self._reload: CertificateReload | None = None
        self._has_tls = speaks_tls(relay.settings.listening.listen)
        self.services: list[IService] = []

    def make(self, prefixes: Prefixes) -> IProtocolFactory:
        """The factory of an endpoint with these prefixes.

        :raises ValueError: an option that it needs is missing or wrong.
        """
        if not (prefixes.proxied or prefixes.secure):
            return self._site
        settings = self._relay.settings
        if prefixes.proxied and settings.listening.trusted_proxy == NOBODY:
            raise ValueError("proxy: needs --trusted-proxy, which says whose PROXY headers count")
        return PrefixFactory(
            self._site,
            self._reactor,
            settings.listening.handshake_timeout,
            self._rejections,
            settings.listening.trusted_proxy if prefixes.proxied else None,
            self._begin_tls() if prefixes.secure else None,
        )

    def prepare(self, port: IListeningPort) -> None:
        """Set up a port that listens now."""
        if self._has_tls:
            from apptuner_relay.edge.tls_transport import tune_tls

            tune_tls(port)
        guard(port, self._relay.descriptors, self._turn_away)

    def _turn_away(self, host: str | None) -> None:
        self._rejections.add("descriptors", host, "no file descriptor is left for it")

    def _begin_tls(self) -> BeginTLS:
        # Most relays leave TLS to what stands before them: see `left_out`.
        from apptuner_relay.edge.tls_handshake import make_begin_tls

        return make_begin_tls(self._certificate_reload(), self._site, self._reactor)

    def _certificate_reload(self) -> "CertificateReload":
        if self._reload is None:
            from apptuner_relay.edge.certificate import BadCertificate
            from apptuner_relay.edge.certificate_reload import CertificateReload

            settings = self._relay.settings
            if settings.listening.tls_cert is None:
                raise ValueError("tls: needs --tls-cert, the certificate's file")
            try:
                self._reload = reload = CertificateReload(
                    settings.listening.tls_cert,
                    settings.listening.tls_key,
                    self._reactor,
                    settings.listening.tls_look,
                    self._relay.wall_s,
                )
            except BadCertificate as wrong:
                raise ValueError(f"--tls-cert, --tls-key: {wrong}") from None
            self._relay.meters.watch_certificate(reload)
            self._calls.reload("the TLS certificate", reload.reload)
            self.services = [reload]
        return self._reload
