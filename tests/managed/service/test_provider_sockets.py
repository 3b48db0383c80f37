"""`managed.service.provider` over real sockets: TLS, and what is no service."""

from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import CertificateOptions, PrivateCertificate
from twisted.internet.task import deferLater
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import TestCase

from apptuner_relay.config.managed_url import parse_managed_url
from apptuner_relay.config.settings import make_settings
from apptuner_relay.managed.service.provider import Provider, make_provider
from apptuner_relay.support.authorities import BadCertificates
from tests.certificates import Authority
from tests.log_capture import capture_log
from tests.managed.service.fake_service import FakeService, pusher_app
from tests.managed.service.listening import MemberListener
from tests.managed.service.provider_case import CHANNEL, PHONE

clock: Any = reactor


class _Silent(Protocol):
    """Says nothing, and hangs up once something is said."""

    transport: Any

    def dataReceived(self, data: bytes) -> None:
        self.transport.loseConnection()


class SocketCase(TestCase):
    timeout = 30

    def setUp(self) -> None:
        self.lines = capture_log(self)
        self.service = FakeService(clock, pusher_app(activity_timeout=120))

    def listen(self, factory: Any = None) -> int:
        port: IListeningPort = clock.listenTCP(
            0, factory or self.service.factory(), interface="127.0.0.1"
        )
        self.addCleanup(port.stopListening)
        number: int = port.getHost().port
        return number

    def provide(
        self, port: int, tls: str, ca: Path | None = None, events: str = "client"
    ) -> Provider:
        text = f"pusher://relay-key@127.0.0.1:{port}/1?tls={tls}&events={events}"
        url = parse_managed_url(text)
        settings = make_settings(managed=url, managed_secret="relay-secret", managed_ca=ca)
        provider = make_provider(settings.managed, "node-1", clock, self.service.api.wall_s)
        provider.startService()
        self.addCleanup(provider.stopService)
        return provider

    def serve_tls(self, authority: Authority) -> int:
        pair = authority.issue()
        own = PrivateCertificate.loadPEM(pair.key + pair.chain)
        options: CertificateOptions = own.options()
        return self.listen(TLSMemoryBIOFactory(options, False, self.service.factory(), clock))

    def save(self, authority: Authority) -> Path:
        path = Path(self.mktemp())
        path.write_bytes(authority.pem)
        return path

    async def until(self, condition: Any) -> None:
        """Wait until something is so; the test's timeout is the bound."""
        while not condition():
            await deferLater(clock, 0.01)


class TlsTest(SocketCase):
    async def test_events_both_ways_over_tls(self) -> None:
        for events in ("client", "http"):
            authority = Authority()
            provider = self.provide(self.serve_tls(authority), "on", self.save(authority), events)
            listener = MemberListener()
            provider.subscribe(CHANNEL, listener)
            await self.until(lambda one=listener: one.is_subscribed)
            self.service.client_event(CHANNEL, PHONE, "client-apptuner", {"n": 1})
            self.assertTrue(provider.publish(CHANNEL, "client-apptuner", '{"n":2}'))
            await self.until(
                lambda one=listener: ("event", "client-apptuner", '{"n":1}', PHONE) in one.heard
            )
            await self.until(lambda one=provider: one.counters.published.total())
            self.assertIn(CHANNEL, await provider.occupied("presence-apptuner."))

    async def test_a_certificate_that_is_not_trusted(self) -> None:
        provider = self.provide(self.serve_tls(Authority()), "on", self.save(Authority()))
        await self.until(lambda: provider.problem)
        self.assertIn("its certificate is not trusted", str(provider.problem))
        self.assertEqual(len([line for line in self.lines if "certificate" in line]), 1)

    async def test_a_port_that_speaks_no_tls(self) -> None:
        provider = self.provide(self.listen(), "on", self.save(Authority()))
        await self.until(lambda: provider.problem)
        self.assertIn("tls=off", str(provider.problem))

    async def test_a_port_that_speaks_tls(self) -> None:
        provider = self.provide(self.serve_tls(Authority()), "off")
        await self.until(lambda: provider.problem)
        self.assertIn("tls=on", str(provider.problem))

    def test_a_file_of_authorities_that_can_t_be_read(self) -> None:
        self.assertRaises(BadCertificates, self.provide, 1, "on", Path(self.mktemp()))


class NoServiceTest(SocketCase):
    async def test_nobody_listens(self) -> None:
        port = clock.listenTCP(0, self.service.factory(), interface="127.0.0.1")
        number = port.getHost().port
        await port.stopListening()
        provider = self.provide(number, "off")
        await self.until(lambda: provider.problem)
        self.assertIn("refused", str(provider.problem))

    async def test_something_else_listens(self) -> None:
        provider = self.provide(self.listen(Factory.forProtocol(_Silent)), "off")
        await self.until(lambda: provider.problem)
        self.assertIn("the handshake", str(provider.problem))

    async def test_stopping_at_once(self) -> None:
        provider = self.provide(self.listen(), "off")
        stopped: Deferred[None] = provider.stopService()
        await stopped
        self.assertEqual(self.service.connections, [])
