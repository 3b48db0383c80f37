"""Clients of the relay's own endpoint of the Pusher protocol, from their connection to the session:
the site, the channels and the gateway together, in memory."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.authorization_proxy import AuthorizationProxy
from apptuner_relay.edge.server import RelayFactory
from apptuner_relay.managed.gateway.gateway import Gateway, GatewayOptions
from apptuner_relay.managed.own_server.app_server import AppFactory
from apptuner_relay.managed.own_server.authorization import PeerAuthorizations
from apptuner_relay.managed.own_server.local_channels import LocalChannels
from apptuner_relay.managed.protocol.numbered_events import EVENT_NAME
from apptuner_relay.managed.protocol.signatures import Signer
from apptuner_relay.managed.web_resources import make_resources
from apptuner_relay.session.session import session_hash
from apptuner_relay.web.site import PeerParts, RelaySite, make_site
from tests.cluster.harness import KEY, SESSION, ClusterCase, ClusterRelay
from tests.managed.own_server.app_client import AppClient
from tests.memory import Relay


def manage(
    relay: Relay,
    name: str = "node",
    peers: PeerAuthorizations | None = None,
    factory: RelayFactory | None = None,
) -> RelaySite:
    """Have a relay answer the Pusher protocol. Returns its site.

    :param peers: the other relays, if there are any, whose connections ``factory`` takes.
    """
    service = relay.service
    options = GatewayOptions("apptuner", 9000, "https://relay.example")
    gateway = Gateway(service, options, None)
    gateway.startService()
    signer = Signer("app-key", "app-secret")
    channels = LocalChannels(service.clock, name, gateway.occupied)
    apps = AppFactory(service, channels, signer, "apptuner")
    more = make_resources(service, gateway, signer, "apptuner", apps, peers)
    return make_site(service, None, None if factory is None else PeerParts(factory), more)


class OwnServer(SynchronousTestCase):
    CHANNEL = f"presence-apptuner.{session_hash('ABC234')}"

    def setUp(self) -> None:
        self.start()

    def start(self, **settings: Any) -> None:
        self.relay = Relay(**settings)
        self.site = manage(self.relay)

    def join(self, **fields: str) -> AppClient:
        """A client that is in the session. What it was told until then is taken off."""
        client = AppClient(self.site)
        self.assertEqual(client.names(), ["connection_established"])
        answer = client.authorize(self.CHANNEL, session="ABC234", **fields)
        self.assertEqual(answer.status, 200, answer.body)
        self.relay.wait(0.1, 0.05)
        client.subscribe(self.CHANNEL, answer.json())
        self.relay.wait(1, 0.05)
        [(name, data), *events] = client.take()
        self.assertEqual(name, "pusher_internal:subscription_succeeded")
        self.assertTrue(any(one.startswith("relay:") for one in data["presence"]["ids"]))
        welcomes = [one for _, data in events for one in data.get("messages", ())]
        self.assertIn("connected", [one["type"] for one in welcomes])
        return client

    def say(self, client: AppClient, number: int, **message: object) -> None:
        data = {"epoch": "0123abcd", "n": number, "messages": [message]}
        client.say(EVENT_NAME, channel=self.CHANNEL, data=data)
        self.relay.wait(1, 0.05)

    def test_a_phone_and_an_ordinary_cli(self) -> None:
        cli = self.relay.connect("/cli/ABC234")
        phone = self.join(deviceId="pixel", name="Pixel")
        self.assertEqual(cli.types(), ["mobile_connected", "device_list"])
        cli.send(type="talk", n=1)
        self.relay.wait(1, 0.05)
        self.assertEqual(phone.messages(), [{"type": "talk", "n": 1}])
        self.say(phone, 1, type="talk", n=2)
        self.assertEqual(cli.received(), [{"type": "talk", "n": 2}])
        phone.lose()
        self.relay.wait(1, 0.05)
        self.assertEqual(cli.types(), ["mobile_disconnected", "device_list"])

    def test_a_cli_and_a_phone_that_are_both_here(self) -> None:
        cli, phone = self.join(role="cli"), self.join(deviceId="pixel")
        self.assertIn("mobile_connected", [one["type"] for one in cli.messages()])
        self.say(cli, 1, type="talk", n=1)
        self.assertEqual(phone.messages()[-1], {"type": "talk", "n": 1})

    def test_one_user_per_authorization(self) -> None:
        first = self.join(deviceId="pixel")
        self.join(deviceId="pixel")
        # The second one has taken the place of the first, as on any other connection.
        closed = [one for one in first.messages() if one["type"] == "closed"]
        self.assertEqual([one["code"] for one in closed], [1000])
        self.assertEqual(len(self.relay.service.clients), 1)

    def test_a_phone_too_many(self) -> None:
        self.start(max_mobiles=1)
        self.join(deviceId="first")
        client = AppClient(self.site)
        client.take()
        transport = client.begin_to_authorize(self.CHANNEL, session="ABC234", deviceId="second")
        self.relay.wait(10)
        self.assertIn(b"HTTP/1.1 403", transport.value())


class SharedSessions(ClusterCase):
    """The session is another relay's: the client is bridged to it like any other."""

    CHANNEL = f"presence-apptuner.{KEY}"

    def setUp(self) -> None:
        super().setUp()
        self.a, self.b = self.relays("ab")
        for relay in (self.a, self.b):
            peers = AuthorizationProxy(relay.placement, relay.reactor)
            relay.site = manage(relay, relay.name, peers, relay.peers)
        self.cli = self.connect(self.a, "cli")

    def join(self, relay: ClusterRelay, **fields: str) -> AppClient:
        client = AppClient(relay.site)
        client.take()
        transport = client.begin_to_authorize(self.CHANNEL, session=SESSION, **fields)
        self.turn(1)
        head, _, body = transport.value().partition(b"\r\n\r\n")
        self.assertIn(b" 200 ", head, body)
        client.subscribe(self.CHANNEL, json.loads(body))
        self.turn(2)
        return client

    def test_a_phone(self) -> None:
        phone = self.join(self.b, deviceId="pixel")
        self.assertEqual(self.owner, "a")
        # It has come in once.
        self.assertEqual(self.cli.types(), ["mobile_connected", "device_list"])
        self.cli.send(type="talk", n=1)
        self.turn(1)
        self.assertEqual(phone.messages()[-1], {"type": "talk", "n": 1})
        data = {"epoch": "0123abcd", "n": 1, "messages": [{"type": "talk", "n": 2}]}
        phone.say(EVENT_NAME, channel=self.CHANNEL, data=data)
        self.turn(1)
        self.assertEqual(self.heard(self.cli), [2])
