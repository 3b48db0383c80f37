"""What tests of the meters share: a relay with clients, and short ways to its metrics."""

import hashlib
import json

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.meters import Meters
from apptuner_relay.operator.views import Views
from tests.memory import Client, Relay

LABEL = hashlib.sha256(b"ABC234").hexdigest()[:8]


class MetersCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay(memory_limit=0, ping_timeout=9999.0, session_timeout=9e6)
        self.meters: Meters = self.relay.service.meters

    def session(self, phones: int = 1) -> tuple[Client, list[Client]]:
        cli = self.relay.connect("/cli/ABC234")
        return cli, [self.relay.connect(f"/mobile/ABC234?deviceId=d{i}") for i in range(phones)]

    def status(self) -> dict:
        return json.loads(json.dumps(Views(self.meters).status(), allow_nan=False))

    def tally(self, kind: str) -> tuple[int, int]:
        tally = self.meters.counters.traffic.tallies[kind]
        return tally.received, tally.sent

    def tally_bytes(self, kind: str) -> tuple[int, int]:
        tally = self.meters.counters.traffic.tallies[kind]
        return tally.received_bytes, tally.sent_bytes
