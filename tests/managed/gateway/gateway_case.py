"""A relay whose gateway speaks in the channels of a service in memory."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.managed.gateway.gateway import Gateway, GatewayOptions
from apptuner_relay.session.session import Admission, Device, Role, session_hash
from tests.managed.fake_channels import PREFIX, FakeChannels, FakeUser
from tests.memory import Relay

SESSION = "ABC234"
KEY = session_hash(SESSION)
PUBLIC_URL = "https://relay.example"
OPTIONS = GatewayOptions(PREFIX, 9000, PUBLIC_URL)


def admitted(role: Role = Role.MOBILE) -> Admission:
    """How a client was authorized."""
    device = Device("device-a", "Pixel 9", "android", 1, announce=True)
    return Admission(
        role, KEY, device if role is Role.MOBILE else None, "", address="192.0.2.7", since_ms=5
    )


class GatewayCase(SynchronousTestCase):
    """A test with one relay, which has a gateway."""

    store: Any = None
    options = OPTIONS

    def setUp(self) -> None:
        self.relay = Relay(self.store)
        self.channels = FakeChannels(self.relay.clock)
        self.service = self.channels.service("node-a")
        self.gateway = self.start()

    def start(self) -> Gateway:
        """Start a gateway."""
        gateway = Gateway(self.relay.service, self.options, self.service)
        gateway.startService()
        self.addCleanup(lambda: gateway.running and gateway.stopService())
        return gateway

    def turn(self, seconds: float = 0.0) -> None:
        """Let everything happen that is due."""
        for _ in range(6):
            self.relay.clock.advance(0)
        if seconds:
            self.relay.clock.pump([0.05] * round(seconds / 0.05))
            self.turn()

    def user(self, role: Role = Role.MOBILE, tag: str = "a", **info: Any) -> FakeUser:
        """Somebody who is about to come into the session's channel."""
        return FakeUser(self.channels, KEY, role, tag, **info)

    def come(self, role: Role = Role.MOBILE, tag: str = "a", **info: Any) -> FakeUser:
        """A user comes into the channel, who was let in by an earlier run of this relay. What it
        is told on coming is taken off."""
        user = self.user(role, tag, **info)
        user.come()
        self.gateway.ready(KEY)
        self.turn(0.5)
        self.assertIn("connected", user.types())
        return user
