"""A Redis server in memory whose replies a test makes up: for what Debian's does not say.

Everything happens when the test's clock is advanced, also by nothing.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.python.failure import Failure

Answer = Callable[[Sequence[str]], "str | list[str] | Exception | None"]
"""Takes a script and its arguments. A status line, lines, an error, or None for no reply yet."""


class FakeRedis:
    """The server, and the endpoint through which it is reached.

    :param answer: replies to scripts.
    """

    def __init__(self, clock: Clock, answer: Answer) -> None:
        self.clock = clock
        self.answer = answer
        self.is_there = True
        """Whether it takes connections."""
        self.connections: list[_End] = []
        """Those that were made, the last one last."""

    def connect(self, factory: Any) -> Deferred[Any]:
        """See `IStreamClientEndpoint`."""
        if not self.is_there:
            return fail(ConnectionRefusedError())
        protocol = factory.buildProtocol(None)
        end = _End(self, protocol)
        self.connections.append(end)
        protocol.makeConnection(end)
        return succeed(protocol)

    def die(self) -> None:
        """The process is killed."""
        self.is_there = False
        for end in self.connections:
            end.lose(ConnectionDone())


class _End:
    """What a client has for a transport, with the server behind it."""

    def __init__(self, server: FakeRedis, client: Any) -> None:
        self.is_lost = False
        self._server, self._client = server, client
        self._scripts: dict[str, str] = {}
        self._data = b""

    def write(self, data: bytes) -> None:
        self._data += data
        while (words := self._next()) is not None and not self.is_lost:
            self._take(words)

    def abortConnection(self) -> None:
        self._server.clock.callLater(0, self.lose, ConnectionAborted())

    def lose(self, why: Exception) -> None:
        if not self.is_lost:
            self.is_lost = True
            self._client.connectionLost(Failure(why))

    def _next(self) -> list[str] | None:
        """The next command that has come whole (RESP: an array of bulk strings)."""
        head, found, rest = self._data.partition(b"\r\n")
        if not found:
            return None
        words = []
        for _ in range(int(head[1:])):
            size, found, rest = rest.partition(b"\r\n")
            length = int(size[1:] or b"0") if found else 0
            if len(rest) < length + 2:
                return None
            words.append(rest[:length].decode())
            rest = rest[length + 2 :]
        self._data = rest
        return words

    def _take(self, words: list[str]) -> None:
        name, *rest = words
        reply: Any = "OK"
        if name == "PING":
            reply = "PONG"
        elif name in ("EVAL", "EVALSHA"):
            script, _, *arguments = rest
            if name == "EVAL":
                self._scripts[hashlib.sha1(script.encode()).hexdigest()] = script
            else:
                script = self._scripts[script]
            reply = self._server.answer([script, *arguments])
        if reply is not None:
            self._server.clock.callLater(0, self._send, _encode(reply))

    def _send(self, data: bytes) -> None:
        if not self.is_lost:
            self._client.dataReceived(data)


def _encode(reply: str | list[str] | Exception) -> bytes:
    if isinstance(reply, Exception):
        return f"-{reply}\r\n".encode()
    if isinstance(reply, list):
        return f"*{len(reply)}\r\n".encode() + b"".join(map(_encode, reply))
    return f"+{reply}\r\n".encode()
