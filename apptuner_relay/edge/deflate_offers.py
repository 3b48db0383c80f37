"""What a handshake that Autobahn reads agrees to of permessage-deflate (RFC 7692)."""

from collections.abc import Sequence

from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept

from apptuner_relay.wire.deflate import NO_CONTEXT_TAKEOVER
from apptuner_relay.wire.offers import FULL_WINDOW_BITS


class _Accept(PerMessageDeflateOfferAccept):
    """Autobahn leaves out of its answer what the client didn't ask for. This one always says
    ``server_no_context_takeover``, so that the client needs to keep no context (RFC 7692 §7.1.1.1).
    """

    def get_extension_string(self) -> str:
        window = self.offer.request_max_window_bits
        said = f"; server_max_window_bits={window}" if window else ""
        return NO_CONTEXT_TAKEOVER + said


def accept(offers: Sequence[object]) -> PerMessageDeflateOfferAccept | None:
    """Autobahn's ``perMessageCompressionAccept``: accepts the first offer that allows the full
    window, because the messages that pass through were compressed with it."""
    for offer in offers:
        if not isinstance(offer, PerMessageDeflateOffer):
            continue
        # It is 0 where none was asked for.
        if offer.request_max_window_bits in (0, FULL_WINDOW_BITS):
            return _Accept(offer, request_no_context_takeover=True)
    return None
