"""Steady traffic while relays are stopped one after the other: the Python side of
node/rolling.mjs."""

import json
import shutil
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from tests.live.clients import NODE_DIRECTORY
from tests.live.processes import Child, RelayProcess, within_patience


class Traffic:
    """node/rolling.mjs.

    :param chars: how long the bundles are.
    :param every_ms: how often each client sends.
    """

    def __init__(
        self, relays: Sequence[RelayProcess], sessions: int, chars: int, every_ms: int
    ) -> None:
        self._events: list[dict[str, Any]] = []
        self._news: list[Deferred[None]] = []
        setting = {
            "relays": [f"ws://127.0.0.1:{relay.port}" for relay in relays],
            "sessions": sessions,
            "chars": chars,
            "every": every_ms,
        }
        self._child = Child(
            [
                shutil.which("node") or "node",
                str(NODE_DIRECTORY / "rolling.mjs"),
                json.dumps(setting),
            ],
            on_line=self._line,
        )

    def tell(self, op: str, **more: Any) -> None:
        """See node/rolling.mjs for what it can be told."""
        self._child.write_line(json.dumps({"op": op, **more}))

    async def until(
        self, kind: str, test: Callable[[dict[str, Any]], bool] = lambda event: True
    ) -> dict[str, Any]:
        """Take the first event of a kind, past or to come, that passes the test."""
        while True:
            for event in self._events:
                if event["event"] == kind and test(event):
                    self._events.remove(event)
                    return event
            news: Deferred[None] = Deferred()
            self._news.append(news)
            await within_patience(news, lambda: f"no {kind}: {self._child!r}")

    async def end(self) -> dict[str, Any]:
        """Have it stop, and say what came of it."""
        self.tell("end")
        return await self.until("done")

    async def kill(self) -> None:
        self._child.signal("KILL")
        await within_patience(self._child.over(), lambda: repr(self._child))

    def _line(self, line: str) -> None:
        self._events.append(json.loads(line))
        news, self._news = self._news, []
        for one in news:
            one.callback(None)
