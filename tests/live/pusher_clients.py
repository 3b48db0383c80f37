"""Clients of the Pusher protocol that others wrote, in soketi/pusher_clients.mjs."""

import json
import shutil
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from tests.live.processes import Child, within_patience
from tests.live.soketi import APP_ID, FOLDER, KEY, SECRET

EVENT = "client-apptuner"
T = TypeVar("T")


class PusherClients:
    """One Node process that plays any number of them."""

    def __init__(self) -> None:
        self._clients: dict[int, PusherClient] = {}
        self._requests: dict[int, Deferred[dict[str, Any]]] = {}
        self._ready: Deferred[None] = Deferred()
        self._child = Child(
            [shutil.which("node") or "node", str(FOLDER / "pusher_clients.mjs")],
            on_line=self._line,
        )

    async def ready(self) -> None:
        await within_patience(self._ready, lambda: repr(self._child))

    def start(self, port: int, auth: Mapping[str, Any], key: str = KEY) -> "PusherClient":
        """Have one connect to a port of 127.0.0.1.

        :param auth: ``endpoint``, ``params`` and ``headers`` as a page says them; or `signed`.
        """
        client = PusherClient(self, len(self._clients) + 1)
        self._clients[client.id] = client
        place = {"key": key, "host": "127.0.0.1", "port": port}
        self.tell(op="start", id=client.id, auth=auth, events=[EVENT], **place)
        return client

    async def server(self, port: int, call: str, *args: Any, **other: str) -> dict[str, Any]:
        """What Pusher's library for servers gets: ``status`` and ``body``.

        :param call: one of its methods.
        :param other: ``appId``, ``key``, ``secret``.
        """
        ref = len(self._requests)
        answer = self._requests[ref] = Deferred()
        self.tell(op="server", ref=ref, call=call, args=args, server=_application(port, **other))
        return await within_patience(answer, lambda: f"{call}: {self._child!r}")

    def tell(self, **request: Any) -> None:
        self._child.write_line(json.dumps(request))

    def _line(self, line: str) -> None:
        event = json.loads(line)
        match event["event"]:
            case "ready":
                self._ready.callback(None)
            case "done":
                self._requests[event["ref"]].callback(event)
            case "failed":
                self._requests[event["ref"]].errback(AssertionError(event["message"]))
            case _:
                self._clients[event.pop("id")].happened(event)

    async def stop(self) -> None:
        """End the process, and with it all of them."""
        await self._child.end()


class PusherClient:
    """A pusher-js. What happens to it is in order."""

    def __init__(self, clients: PusherClients, number: int) -> None:
        self.id = number
        self.events: list[dict[str, Any]] = []
        self._clients = clients
        self._waiters: list[Deferred[None]] = []

    def those(self, kind: str) -> list[dict[str, Any]]:
        """The events of a kind: state, error, subscribed, refused, added, removed, told."""
        return [event for event in self.events if event["event"] == kind]

    def subscribe(self, channel: str) -> None:
        self._tell("subscribe", channel=channel)

    def unsubscribe(self, channel: str) -> None:
        self._tell("unsubscribe", channel=channel)

    def trigger(self, channel: str, data: object, name: str = EVENT) -> None:
        """Send a client event."""
        self._tell("trigger", channel=channel, name=name, data=data)

    def leave(self) -> None:
        """Have it disconnect."""
        self._tell("stop")

    def come_back(self) -> None:
        """Have it connect again after `leave`; it subscribes to what it had by itself."""
        self._tell("back")

    def _tell(self, op: str, **request: Any) -> None:
        self._clients.tell(op=op, id=self.id, **request)

    async def connected(self, times: int = 1) -> None:
        """Wait until it has connected so many times."""
        await self.until(lambda: len(self._states("connected")) >= times or None)

    def _states(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.those("state") if event["state"] == name]

    async def happens(self, kind: str, times: int = 1) -> dict[str, Any]:
        """Wait for an event of a kind, the first or a later one."""
        return await self.until(lambda: (self.those(kind)[times - 1 : times] or [None])[0])

    async def until(self, look: Callable[[], T | None]) -> T:
        while (result := look()) is None:
            waiter: Deferred[None] = Deferred()
            self._waiters.append(waiter)
            await within_patience(waiter, lambda: repr(self))
        return result

    def happened(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)

    def __repr__(self) -> str:
        return f"pusher-js {self.id}:\n  " + "\n  ".join(map(str, self.events))


def signed(user_id: str, **info: Any) -> dict[str, Any]:
    """For `PusherClients.start`: signed by Pusher's library with the secret, without a relay."""
    return {"sign": {**_application(1), "user": {"user_id": user_id, "user_info": info}}}


def _application(port: int, **other: str) -> dict[str, Any]:
    mine = {"appId": APP_ID, "key": KEY, "secret": SECRET}
    return {**mine, **other, "host": "127.0.0.1", "port": port}
