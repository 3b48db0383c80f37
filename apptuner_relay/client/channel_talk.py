"""What a client hears and says in its session's channel: messages of the wire, in numbered events.
Pure.

A managed service delivers at most once. What is lost shows in the numbers, and then the relay is
asked for the state, which has all that matters. Not here: getting into the channel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apptuner_relay.client.bundles import encode, read_message
from apptuner_relay.client.representation import is_sha256
from apptuner_relay.managed.protocol.numbered_events import (
    BadEvent,
    GapFinder,
    Heard,
    Numbering,
    encode_event,
    is_to,
    new_epoch,
    parse_event,
)
from apptuner_relay.managed.protocol.user_ids import is_of_relay


class ChannelMemory:
    """What outlives the connections of one client."""

    def __init__(self) -> None:
        self.last_ack: dict[str, object] | None = None
        """The last acknowledgement that it gave."""
        self.announced: object = None
        """The SHA-256 of the last bundle that it was told of."""


class ChannelTalk:
    """One subscription of a client's.

    :param user_id: as whom the client is in the channel.
    """

    def __init__(self, session: str, user_id: str, memory: ChannelMemory) -> None:
        self._session = session
        self._user_id = user_id
        self._memory = memory
        self._numbering = Numbering(new_epoch())
        self._finders: dict[str | None, GapFinder] = {}
        self.wants_state = False
        """Whether something was lost, so that the relay has to be asked for the state."""

    def hear(self, sender: str | None, data: str) -> list[dict[str, Any]]:
        """The messages of an event that are for this client.

        Only a relay is believed: by the `user_id` that the service gives as its sender, or if there
        is none, which is so of what a server has published.
        """
        if sender is not None and not is_of_relay(sender):
            return []
        try:
            event = parse_event(data)
        except BadEvent:
            return []
        is_first = not self._finders
        hearing = self._finders.setdefault(sender, GapFinder()).hear(event.epoch, event.n)
        if hearing.heard is Heard.REPEATED:
            return []
        # What was said before this client came is none of its loss.
        self.wants_state |= hearing.wants_state and not is_first
        if not is_to(event.to, self._user_id):
            return []
        messages = map(read_message, event.messages)
        return [heard for one in messages if one is not None for heard in self._heard(one)]

    def _heard(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        """A message as one that comes from a relay directly."""
        match message["type"]:
            case "bundle_available":
                self._memory.announced = sha256 = message.pop("sha256", None)
                message.pop("url", None)
                if is_sha256(sha256):
                    # Every relay has it at its own address. No other one is believed: a service
                    # could say any, and would learn the session's id there.
                    message |= {"url": f"/bundles/{self._session}/{sha256}", "sha256": sha256}
            case "state":
                return self._in_state(message)
        return [message]

    def _in_state(self, state: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What the state says anew."""
        found: list[dict[str, Any]] = []
        devices, bundle = state.get("devices"), state.get("bundle")
        if isinstance(devices, list):
            found.append({"type": "device_list", "devices": devices})
        if isinstance(bundle, dict) and bundle.get("sha256") != self._memory.announced:
            found += self._heard({**bundle, "type": "bundle_available"})
        return found

    def say(self, kind: str, body: Mapping[str, object]) -> str:
        """The data of an event with this message. It has to be sent, and once."""
        if kind == "bundle_ack":
            self._memory.last_ack = {"type": kind, **body}
        data = encode_event(
            self._numbering.epoch, self._numbering.next_n, None, [encode(kind, body)]
        )
        self._numbering.count()
        return data

    def ask_for_state(self) -> str:
        """The data of an event that asks for the state."""
        self.wants_state = False
        return self.say("state_wanted", {})

    def tell_state(self) -> str:
        """The data of an event that tells of this client's state."""
        return self.say("state", {"ack": self._memory.last_ack})
