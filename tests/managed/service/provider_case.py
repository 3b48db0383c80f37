"""A provider and the service that it speaks to, in memory and on one clock."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from apptuner_relay.config.managed_url import ManagedUrl, parse_managed_url
from apptuner_relay.managed.protocol.signatures import Signer
from apptuner_relay.managed.service.api_client import IDLE_S, ApiAgent
from apptuner_relay.managed.service.provider import Provider
from apptuner_relay.support.http_pool import quiet_pool
from tests.log_capture import capture_log
from tests.managed.service.fake_service import FakeApp, FakeNetwork, FakeService
from tests.managed.service.listening import MemberListener

CHANNEL = "presence-apptuner." + "ab" * 32
PHONE = "mobile:0123456789ab:pixel-9"


@implementer(IAgentEndpointFactory)
class _OneHost:
    """Every URL is at the fake service."""

    def __init__(self, network: FakeNetwork) -> None:
        self._network = network

    def endpointForURI(self, uri: object) -> FakeNetwork:
        return self._network


class ProviderCase(SynchronousTestCase):
    """Has a service, and makes a provider for it."""

    def setUp(self) -> None:
        self.lines = capture_log(self)
        self.begin(FakeApp())

    def begin(
        self, app: FakeApp, url: str = "", secret: str | None = None, ahead_s: float = 0.0
    ) -> None:
        """A service and a provider.

        :param url: the whole of it, or how it ends.
        :param ahead_s: how far the relay's time of day is ahead of the service's.
        """
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.service = FakeService(self.clock, app)
        self.network = FakeNetwork(self.clock, self.service)
        self.api_network = FakeNetwork(self.clock, self.service)
        if "://" not in url:
            url = f"pusher://{app.key}@localhost:6001/{app.app_id}{url}"
        parsed = parse_managed_url(url)
        self.provider = self.make(parsed, secret or app.secret, ahead_s)
        self.counters = self.provider.counters
        self.listener = MemberListener()
        self.lines.clear()

    def make_agent(self) -> ApiAgent:
        """What makes the requests to the API."""
        pool = quiet_pool(self.clock, IDLE_S)
        agent = Agent.usingEndpointFactory(self.clock, _OneHost(self.api_network), pool)
        return ApiAgent(agent, pool)

    def make(self, url: ManagedUrl, secret: str, ahead_s: float) -> Provider:
        """The provider."""
        return Provider(
            url,
            Signer(url.key, secret),
            self.network,
            self.make_agent(),
            "apptuner",
            "node-1",
            self.clock,
            lambda: self.clock.seconds() + ahead_s,
        )

    def tearDown(self) -> None:
        self.assertEqual(self.service.malformed, [])
        if self.provider.running:
            stopped = self.provider.stopService()
            self.wait(5)
            self.assertIsNone(self.successResultOf(stopped))
        # Connections of the API that are idle end by themselves.
        self.wait(IDLE_S)
        self.assertEqual(self.service.connections, [])
        self.assertEqual([str(call) for call in self.clock.getDelayedCalls()], [])

    def wait(self, seconds: float = 0.3) -> None:
        """Let time pass."""
        self.clock.pump([0.01] * 30)
        self.clock.pump([0.1] * int(seconds * 10))

    def start(self) -> None:
        """Have the provider connect."""
        self.provider.startService()
        self.wait()

    def subscribe(self, channel: str = CHANNEL) -> None:
        """Be in a channel, with a phone in it."""
        self.service.join(channel, PHONE)
        self.provider.subscribe(channel, self.listener)
        self.wait()

    def log(self, start: str = "managed service") -> list[str]:
        """The lines of the log that begin so."""
        return [line for line in self.lines if line.startswith(start)]
