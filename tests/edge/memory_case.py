"""Tests of whole connections, on transports in memory."""

from twisted.trial.unittest import SynchronousTestCase

from tests.memory import Client, Relay


class MemoryCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay()

    def connect(self, target: str) -> Client:
        return self.relay.connect(target)

    def session(self, phones: int = 1) -> tuple[Client, list[Client]]:
        """A CLI and phones, all of the notices read."""
        cli = self.connect("/cli/ABC234")
        mobiles = [self.connect(f"/mobile/ABC234?deviceId=d{i}") for i in range(phones)]
        cli.received()
        return cli, mobiles
