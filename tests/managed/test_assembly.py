"""`managed.assembly`: what ``--managed`` makes."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.config.managed_url import parse_managed_url
from apptuner_relay.managed.assembly import ManagedParts, make_managed, name_host
from apptuner_relay.managed.gateway.gateway import Gateway
from apptuner_relay.managed.own_server.app_server import AppServer
from apptuner_relay.managed.protocol.user_ids import UserId, parse_user_id
from apptuner_relay.managed.service.provider import Provider
from tests.memory import Relay


class Making(SynchronousTestCase):
    def make(self, url: str, **settings: Any) -> ManagedParts:
        """The parts of a relay with these settings."""
        self.reactor = MemoryReactorClock()
        self.relay = Relay(clock=self.reactor, managed=parse_managed_url(url), **settings)
        return make_managed(self.relay.service, self.reactor, None)

    def kinds(self, parts: ManagedParts) -> list[type]:
        """Of its services, in the order in which they start."""
        return [type(one) for one in (*parts.services, parts.app_server)]

    def test_the_relay_itself(self) -> None:
        parts = self.make("relay://app-key")
        self.assertEqual(self.kinds(parts), [Gateway, AppServer])
        self.assertEqual(set(parts.resources), {b"/app", b"/pusher/auth"})
        managed = self.relay.service.meters.managed
        assert managed is not None
        self.assertTrue(managed.is_up)

    def test_a_provider(self) -> None:
        url = "pusher://app-key@127.0.0.1:6001/app-id"
        parts = self.make(url, managed_secret="app-secret")
        # The provider is left when the gateway has left its channels.
        self.assertEqual(self.kinds(parts), [Provider, Gateway, AppServer])
        managed = self.relay.service.meters.managed
        assert managed is not None
        self.assertFalse(managed.is_up)

    def test_authorities_that_can_not_be_read(self) -> None:
        url = "pusher://app-key@soketi.example/app-id"
        with self.assertRaises(ValueError) as caught:
            self.make(url, managed_secret="app-secret", managed_ca=Path("/nonexistent.pem"))
        self.assertIn("--managed-ca: /nonexistent.pem", str(caught.exception))

    def test_the_name_of_the_machine_can_stand_in_a_user_id(self) -> None:
        user_id = UserId(None, "0" * 12, name_host())
        self.assertEqual(parse_user_id(str(user_id)), user_id)

    def test_a_relay_without_it_imports_nothing_of_it(self) -> None:
        look = (
            "import sys, apptuner_relay.tap\n"
            "print([name for name in sys.modules if name.startswith('apptuner_relay.managed')])"
        )
        answer = subprocess.run(
            [sys.executable, "-c", look], capture_output=True, text=True, check=True, timeout=60
        )
        self.assertEqual(answer.stdout.strip(), "[]")
