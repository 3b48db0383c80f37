"""`apptuner_relay.edge.endpoints`: what listens where, and what the operator is told, on a reactor
in memory."""

import io
import sys
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from apptuner_relay.config.options import Options
from apptuner_relay.edge.adopted import PassedSockets
from apptuner_relay.edge.certificate_reload import CertificateReload
from apptuner_relay.edge.endpoints import (
    CannotListen,
    EndpointFactories,
    ListeningService,
    addresses,
    are_adopted,
    is_adopted,
    make_endpoints,
    make_listeners,
    shown_addresses,
)
from apptuner_relay.edge.prefixes import PrefixFactory, split_prefixes
from apptuner_relay.operator.signals import SignalCalls
from apptuner_relay.support.client_address import TrustedProxies
from tests.certificates import Authority, Live
from tests.memory import Relay

PROXIES = TrustedProxies.parse("10.0.0.0/8")


class EndpointCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.site = Site(Resource())
        self.calls = SignalCalls(self.reactor)

    def factories(self, **settings: Any) -> EndpointFactories:
        relay = Relay(**settings)
        return EndpointFactories(relay.service, self.site, self.reactor, self.calls)

    def service(self, description: str, daemon: bool = False) -> ListeningService:
        (endpoint,) = make_endpoints(
            split_prefixes(description).endpoint, self.reactor, PassedSockets((), ())
        )
        return ListeningService(description, endpoint, self.site, daemon, lambda port: None)

    def listeners(self, *arguments: str, **settings: Any) -> list[Any]:
        options = Options({})
        options.parseOptions([word for one in arguments for word in ("--listen", one)])
        relay = Relay(**settings)
        return make_listeners(options, relay.service, self.site, self.reactor, self.calls)


class Listening(EndpointCase):
    def test_what_listens_is_logged(self) -> None:
        for description, shown in [
            ("tcp:3000", "tcp:0.0.0.0:3000"),
            (r"tcp6:3000:interface=\:\:1", "tcp:[::1]:3000"),
            ("tls:tcp:443", "tls:tcp:0.0.0.0:443"),
            ("unix:/run/x.sock", "unix:/run/x.sock"),
        ]:
            with capturedLogs() as events:
                service = self.service(description)
                service.privilegedStartService()
                self.assertEqual(shown_addresses([service]), [shown])
                service.startService()
            self.assertEqual([formatEvent(one) for one in events], [f"listening on {shown}"])

    def test_only_plain_http_has_an_address_for_others(self) -> None:
        services: list[Any] = [
            self.service(one)
            for one in (
                "tcp:3000",
                "proxy:tcp:3001",
                "tls:tcp:3002",
                r"tcp6:3003:interface=\:\:1",
            )
        ]
        for one in services:
            one.privilegedStartService()
        self.assertEqual(
            addresses(services),
            [
                IPv4Address("TCP", "0.0.0.0", 3000),
                None,
                None,
                IPv6Address("TCP", "::1", 3003),
            ],
        )

    def test_a_port_in_use_ends_the_process_with_one_line(self) -> None:
        def refuse(*arguments: Any, **more: Any) -> None:
            raise CannotListenError("127.0.0.1", 3000, OSError(98, "Address already in use"))

        self.patch(self.reactor, "listenTCP", refuse)
        stderr = io.StringIO()
        self.patch(sys, "__stderr__", stderr)
        ended = self.assertRaises(SystemExit, self.service("tcp:3000").privilegedStartService)
        self.assertEqual(ended.code, 1)
        self.assertEqual(
            stderr.getvalue(),
            "apptuner-relay: cannot listen on tcp:3000: Address already in use\n",
        )
        wrong = self.assertRaises(
            CannotListen, self.service("tcp:3000", daemon=True).privilegedStartService
        )
        self.assertEqual(str(wrong), "tcp:3000: Address already in use")

    def test_which_sockets_other_processes_hold(self) -> None:
        self.assertTrue(are_adopted(["systemd:name=relay", "proxy:tls:systemd:index=1"]))
        self.assertFalse(are_adopted(["systemd:name=relay", "tcp:3000"]))
        self.assertFalse(are_adopted(["tls:proxy:systemd:index=0"]), "no endpoint")
        self.assertFalse(is_adopted(self.service("tcp:3000")))


class Factories(EndpointCase):
    def test_without_a_prefix_http_begins_at_once(self) -> None:
        self.assertIs(self.factories().make(split_prefixes("tcp:3000")), self.site)

    def test_what_a_prefix_needs(self) -> None:
        for description, why in [
            ("proxy:tcp:1", "proxy: needs --trusted-proxy"),
            ("tls:tcp:1", "tls: needs --tls-cert"),
        ]:
            factories = self.factories(trusted_proxy=TrustedProxies.parse("none"))
            wrong = self.assertRaises(ValueError, factories.make, split_prefixes(description))
            self.assertIn(why, str(wrong))
        factories = self.factories(tls_cert=Path(self.mktemp()))
        wrong = self.assertRaises(ValueError, factories.make, split_prefixes("tls:tcp:1"))
        self.assertIn("--tls-cert, --tls-key: ", str(wrong))
        self.assertIn("No such file", str(wrong))

    def test_headers_are_believed_where_the_prefix_says_so(self) -> None:
        factories = self.factories(trusted_proxy=PROXIES)
        factory = factories.make(split_prefixes("proxy:tcp:1"))
        assert isinstance(factory, PrefixFactory)
        self.assertEqual((factory.trusted, factory.begin_tls), (PROXIES, None))

    def test_all_endpoints_of_tls_have_one_certificate(self) -> None:
        live = Live(Path(self.mktemp()))
        pair = Authority().issue()
        live.install(pair.chain, pair.key)
        factories = self.factories(tls_cert=live.chain, tls_key=live.key, trusted_proxy=PROXIES)
        first, second = (
            factories.make(split_prefixes(one)) for one in ("tls:tcp:1", "proxy:tls:tcp:2")
        )
        assert isinstance(first, PrefixFactory) and isinstance(second, PrefixFactory)
        self.assertEqual((first.trusted, second.trusted), (None, PROXIES))
        (reload,) = factories.services
        self.assertIsInstance(reload, CertificateReload)


class Making(EndpointCase):
    def test_one_service_for_each_endpoint(self) -> None:
        made = self.listeners("tcp:3000", "unix:/run/x.sock")
        self.assertEqual([type(one) for one in made], [ListeningService] * 2)

    def test_what_is_no_endpoint_is_one_line(self) -> None:
        for description, why in [
            ("nonsense", "(try tcp:3000, "),
            ("tls:proxy:tcp:1", "may stand before an endpoint once each"),
            ("systemd:name=relay", "is its .socket unit started?"),
            ("tls:tcp:1", "tls: needs --tls-cert"),
            ("tcp:0.0.0.0:3000", "can't be listened on: the port is not a number (try tcp:3000, "),
            ("ssl:1:privateKey=/no.pem", "can't be listened on: /no.pem: No such file"),
        ]:
            ended = self.assertRaises(SystemExit, self.listeners, description)
            self.assertIn(f"apptuner-relay: --listen: {description!r}", str(ended.code))
            self.assertIn(why, str(ended.code))
            self.assertNotIn("\n", str(ended.code))
