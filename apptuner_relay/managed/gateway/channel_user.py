"""A user of a channel, as the gateway knows it: its connection to the relay, and what has been said
between them that a state is made of.
"""

import math
from collections.abc import Sequence

from apptuner_relay.managed.gateway.virtual_connection import VirtualConnection
from apptuner_relay.managed.protocol.numbered_events import GapFinder, Heard, NumberedEvent
from apptuner_relay.managed.protocol.state_messages import read_fields, type_of
from apptuner_relay.managed.protocol.user_ids import UserId
from apptuner_relay.wire.messages import compact_json


class Inbound:
    """What an event of a user comes to."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        """The messages for the session."""
        self.wants_state = False
        """Whether the user asks for the state."""
        self.has_gap = False
        """Whether events of the user are missing."""


class ChannelUser:
    """One of them.

    :param user_id: the user's, which is none of a relay.
    """

    def __init__(self, user_id: UserId, connection: VirtualConnection) -> None:
        self.user_id = user_id
        self.connection = connection
        self.asked_s = self.answered_s = -math.inf
        """When it was asked for its state, and told the state."""
        self.answer_is_due = False
        self.last_devices: Sequence[object] = ()
        """The last rows of ``device_list`` that it was sent, while its session is elsewhere."""
        self.last_bundle: object = None
        """The last ``bundle_available``, likewise."""
        self.gaps = GapFinder()
        self._ack: bytes | None = None
        """The last ``bundle_ack`` that was passed on, without spaces."""

    def hear(self, event: NumberedEvent) -> Inbound:
        """Sort what an event of it carries."""
        inbound = Inbound()
        hearing = self.gaps.hear(event.epoch, event.n)
        if hearing.heard is Heard.REPEATED:
            return inbound
        inbound.has_gap = hearing.heard is Heard.GAP or (
            hearing.heard is Heard.NEW_EPOCH and event.n > 1
        )
        for text in event.messages:
            kind = type_of(text)
            if kind == "state_wanted":
                inbound.wants_state = True
            elif kind == "state":
                ack = read_fields(text).get("ack")
                if isinstance(ack, dict) and ack.get("type") == "bundle_ack":
                    self._add_ack(inbound, compact_json(ack))
            elif kind == "bundle_ack":
                self._ack = compact_json(read_fields(text))
                inbound.texts.append(text)
            else:
                inbound.texts.append(text)
        return inbound

    def remember(self, text: bytes) -> None:
        """It is sent a text, and its session is elsewhere: keep what a state is made of."""
        kind = type_of(text)
        if kind == "device_list":
            devices = read_fields(text).get("devices")
            self.last_devices = devices if isinstance(devices, list) else ()
        elif kind == "bundle_available":
            self.last_bundle = read_fields(text)

    def _add_ack(self, inbound: Inbound, ack: bytes) -> None:
        if ack != self._ack:
            self._ack = ack
            inbound.texts.append(ack)
