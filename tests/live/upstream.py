"""What stands behind a forwarded path: the Python side of node/upstream.mjs."""

import json
from typing import Any

from twisted.internet.defer import Deferred

from tests.live.clients import NODE_DIRECTORY
from tests.live.processes import Child, checkout_env, within_patience

SCRIPT = NODE_DIRECTORY / "upstream.mjs"


class Upstream:
    """upstream.mjs."""

    def __init__(self, port: int = 0) -> None:
        self.told: list[dict[str, Any]] = []
        self._waiting: list[tuple[tuple[str, str | None], Deferred[dict[str, Any]]]] = []
        self.child = Child(
            ["node", str(SCRIPT), str(port)], NODE_DIRECTORY, checkout_env(), on_line=self._line
        )
        self.port = port

    async def start(self) -> None:
        self.port = int((await self.tells("port"))["port"])

    async def stop(self) -> None:
        self.child.signal("KILL")
        await self.child.over()

    def tells(self, key: str, value: str | None = None) -> Deferred[dict[str, Any]]:
        """The line with this."""
        wanted = (key, value)
        fired: Deferred[dict[str, Any]] = Deferred()
        self._waiting.append((wanted, fired))
        self._look()
        return within_patience(fired, lambda: f"not told of {wanted}: {self.child!r}")

    def _line(self, line: str) -> None:
        if line.startswith("{"):
            self.told.append(json.loads(line))
            self._look()

    def _look(self) -> None:
        for wanted, fired in tuple(self._waiting):
            key, value = wanted
            found = [told for told in self.told if key in told and value in (None, told[key])]
            if found:
                self._waiting.remove((wanted, fired))
                fired.callback(found[0])
