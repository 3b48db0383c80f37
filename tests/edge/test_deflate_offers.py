"""`apptuner_relay.edge.deflate_offers`: which offers of compression are accepted, and how."""

from autobahn.websocket.compress import PerMessageDeflateOffer
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.edge.deflate_offers import accept
from apptuner_relay.wire.deflate import NO_CONTEXT_TAKEOVER


class Negotiating(SynchronousTestCase):
    def offer(self, **parameters: list[object]) -> PerMessageDeflateOffer:
        return PerMessageDeflateOffer.parse(parameters)

    def test_without_context_takeover_whatever_was_offered(self) -> None:
        for offer in (
            self.offer(),
            self.offer(client_max_window_bits=[True]),
            self.offer(server_no_context_takeover=[True], client_no_context_takeover=[True]),
        ):
            accepted = accept([offer])
            assert accepted is not None
            self.assertEqual(accepted.get_extension_string(), NO_CONTEXT_TAKEOVER)

    def test_who_wants_a_smaller_window_gets_no_compression(self) -> None:
        small = self.offer(server_max_window_bits=["10"])
        self.assertIsNone(accept([small]))
        self.assertIsNotNone(accept([small, self.offer()]))
