"""Clients of a session's channel, as an app with pusher-js plays them: what they hear of the relay,
and what they say to it."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from tests.live.processes import RelayProcess
from tests.live.pusher_clients import PusherClient, PusherClients

SESSION = "ABC234"
CHANNEL = "presence-apptuner." + hashlib.sha256(SESSION.encode()).hexdigest()


class ChannelClient:
    """A client that asks a relay to let it into the session's channel.

    :param port: where the service is.
    :param fields: what it says of itself.
    """

    def __init__(
        self, clients: PusherClients, relay: RelayProcess, port: int, **fields: str
    ) -> None:
        endpoint = f"http://127.0.0.1:{relay.port}/pusher/auth"
        params = {"session": SESSION, **fields}
        self._n = 0
        self.pusher: PusherClient = clients.start(port, {"endpoint": endpoint, "params": params})
        self.pusher.subscribe(CHANNEL)

    async def in_channel(self, times: int = 1) -> None:
        """Wait until it has been let in, for the first time or again."""
        await self.pusher.happens("subscribed", times)

    @property
    def heard(self) -> list[dict[str, Any]]:
        """What the relay has told it, in order."""
        names = {one["me"] for one in self.pusher.those("subscribed")}
        mine = (
            "desktop" if any(one.startswith(("cli:", "dashboard:")) for one in names) else "phones"
        )
        return [
            message
            for told in self.pusher.those("told")
            if told["user"] is None or told["user"].startswith("relay:")
            for message in told["data"]["messages"]
            if told["data"]["to"] == mine or names & set(told["data"]["to"])
        ]

    def those(self, kind: str) -> list[dict[str, Any]]:
        """The messages of a type."""
        return [message for message in self.heard if message["type"] == kind]

    async def hears(self, kind: str, times: int = 1) -> dict[str, Any]:
        """Wait for a message of that type, the first or a later one."""
        return await self.pusher.until(lambda: (self.those(kind)[times - 1 : times] or [None])[0])

    def say(self, *messages: Mapping[str, object]) -> None:
        """Send messages in one event."""
        self._n += 1
        data = {"epoch": "0a0b0c0d", "n": self._n, "messages": messages}
        self.pusher.trigger(CHANNEL, json.dumps(data))

    def come_in_anew(self) -> None:
        """As whoever was told that the relay is gone."""
        self.pusher.unsubscribe(CHANNEL)
        self.pusher.subscribe(CHANNEL)
