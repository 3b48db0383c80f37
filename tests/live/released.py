"""Clients that are left alone, and come back after any close: the Python side of
node/released.mjs."""

import json
import shutil
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from tests.live.clients import NODE_DIRECTORY
from tests.live.processes import Child, within_patience

T = TypeVar("T")


class Released:
    """One Node process that plays any number of them."""

    def __init__(self) -> None:
        self._players: dict[int, Player] = {}
        self._ready: Deferred[None] = Deferred()
        self._child = Child(
            [shutil.which("node") or "node", str(NODE_DIRECTORY / "released.mjs")],
            on_line=self._line,
        )

    async def ready(self) -> None:
        await within_patience(self._ready, lambda: repr(self._child))

    async def start(self, role: str, url: str, **options: Any) -> "Player":
        """Have one connect, and wait until it has. ``bundleChars`` is how much a CLI sends."""
        player = Player(self, len(self._players) + 1, role)
        self._players[player.id] = player
        self.tell(op="start", id=player.id, role=role, url=url, **options)
        await player.opened(1)
        return player

    def tell(self, **request: Any) -> None:
        self._child.write_line(json.dumps(request))

    def _line(self, line: str) -> None:
        event = json.loads(line)
        if event["event"] == "ready":
            self._ready.callback(None)
        else:
            self._players[event.pop("id")].happened(event)

    async def stop(self) -> None:
        """End the process, and with it all of them."""
        await self._child.end()


class Player:
    """One client. What happens to it is in order."""

    def __init__(self, released: Released, number: int, role: str) -> None:
        self.id = number
        self.role = role
        self.events: list[dict[str, Any]] = []
        self._released = released
        self._waiters: list[Deferred[None]] = []

    @property
    def closes(self) -> list[tuple[int, str]]:
        """Code and reason of each close."""
        return [(event["code"], event["reason"]) for event in self.those("close")]

    def those(self, kind: str) -> list[dict[str, Any]]:
        """The events of a kind."""
        return [event for event in self.events if event["event"] == kind]

    def messages(self, kind: str) -> list[dict[str, Any]]:
        """The messages of a type."""
        return [one for one in self.those("message") if one["type"] == kind]

    def send(self, **message: Any) -> None:
        self._released.tell(op="send", id=self.id, message=message)

    def bundle(self) -> None:
        """Have a CLI send a bundle."""
        self._released.tell(op="bundle", id=self.id)

    def freeze(self) -> None:
        """Have it read nothing any more, and answer nothing."""
        self._released.tell(op="freeze", id=self.id)

    def thaw(self) -> None:
        self._released.tell(op="thaw", id=self.id)

    def leave(self) -> None:
        """Have it close, and not come back."""
        self._released.tell(op="stop", id=self.id)

    async def opened(self, times: int) -> None:
        """Wait until it has connected so many times."""
        await self.until(lambda: len(self.those("open")) >= times or None)

    async def told(self, kind: str, times: int = 1) -> dict[str, Any]:
        """Wait for a message of that type, the first or a later one."""
        await self.until(lambda: len(self.messages(kind)) >= times or None)
        return self.messages(kind)[times - 1]

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
        return f"{self.role} {self.id}:\n  " + "\n  ".join(map(str, self.events))
