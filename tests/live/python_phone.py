"""A phone that PyPI's ``websockets`` plays, in a process of its own: ``python -m
tests.live.python_phone URL`` says in JSON, one object a line, what it gets and how it ends. The
first line is for the welcome. It ends with its connection.
"""

import hashlib
import importlib.util
import json
import sys
from typing import Any

from twisted.internet.defer import Deferred

from tests.live.clients import Place
from tests.live.processes import Child, checkout_env, within_patience


def missing_websockets() -> str | None:
    """Why there can be no such phone here, if there can't."""
    found = importlib.util.find_spec("websockets")
    return None if found else "needs PyPI's websockets: ops/test installs it"


class PythonPhone:
    """One that is connected. `said` has what it tells, from the welcome on."""

    def __init__(self, url: str) -> None:
        self.said: list[dict[str, Any]] = []
        self._read = 0
        self._waiters: list[Deferred[None]] = []
        argv = [sys.executable, "-m", "tests.live.python_phone", url]
        self._child = Child(argv, env=checkout_env(), on_line=self._line)

    @classmethod
    async def join(cls, place: Place, session: str = "ABC234", query: str = "") -> "PythonPhone":
        phone = cls(place.url("mobile", session, query))
        welcome = await phone.next()
        assert welcome["type"] == "connected", welcome
        return phone

    def _line(self, line: str) -> None:
        self.said.append(json.loads(line))
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)

    async def next(self) -> dict[str, Any]:
        """What it says next: ``type``, ``sha256`` and ``bytes`` of a message, or ``code`` and
        ``reason`` of its end."""
        while self._read == len(self.said):
            waiter: Deferred[None] = Deferred()
            self._waiters.append(waiter)
            await within_patience(waiter, lambda: repr(self._child))
        self._read += 1
        return self.said[self._read - 1]

    async def leave(self) -> None:
        """Kill -9."""
        self._child.signal("KILL")
        await within_patience(self._child.over(), lambda: repr(self._child))


def main() -> None:
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    def say(**what: Any) -> None:
        print(json.dumps(what), flush=True)

    with connect(sys.argv[1], max_size=None) as connection:
        try:
            for message in connection:
                data = message.encode() if isinstance(message, str) else message
                kind = json.loads(data).get("type")
                say(type=kind, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        except ConnectionClosed:
            pass
        say(code=connection.close_code, reason=connection.close_reason)


if __name__ == "__main__":
    main()
