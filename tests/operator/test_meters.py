"""`apptuner_relay.operator.meters`: which clients are slow, and which are not read from."""

from apptuner_relay.operator.views import Views
from tests.operator.meters_case import MetersCase


class SlowTest(MetersCase):
    def test_slow_and_paused(self) -> None:
        cli, (phone,) = self.session()
        phone.protocol.transport.producer.pauseProducing()
        cli.send(type="bundle_update", payload={"code": "x" * 300_000})
        self.assertEqual((self.meters.paused_sources, self.meters.slow_sinks), (1, 0))
        self.relay.clock.advance(6)
        self.assertEqual(self.meters.slow_sinks, 1)
        self.assertIs(Views(self.meters).sessions()[0]["slow"], True)
        phone.protocol.transport.producer.resumeProducing()
        self.assertEqual((self.meters.paused_sources, self.meters.slow_sinks), (0, 0))
        self.assertIs(Views(self.meters).sessions()[0]["slow"], False)
