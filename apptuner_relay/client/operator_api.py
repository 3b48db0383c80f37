"""Asks a running relay what only its operator may know or do: `/api/`.

Not here: what answers mean (`records`, `session_records`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from apptuner_relay import __version__
from apptuner_relay.client.address import Relay
from apptuner_relay.client.outcome import Exit
from apptuner_relay.client.printable import printable
from apptuner_relay.client.screen import Screen
from apptuner_relay.support.lan_address import is_loopback
from apptuner_relay.support.socket_errors import describe, is_untrusted

ANSWER_SECONDS = 20.0
"""From asking to the last byte of the answer."""
MAX_ANSWER_BYTES = 4 * 1024 * 1024
TOKEN_VARIABLE = "APPTUNER_ADMIN_TOKEN"

_OK, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 200, 401, 403, 404
_MAX_SHOWN = 200
_NO_SUCH_PATH = "Not found"
"""What a relay says that doesn't have a path."""

T = TypeVar("T")


class NoFigures(Exception):
    """The figures could not be had; the text says why, and `code` how the program ends.

    :param status: the HTTP status of a relay that refuses.
    """

    def __init__(self, text: str, code: Exit = Exit.FAILED, status: int | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.status = status


class OperatorApi:
    """One relay's `/api/`.

    :param token: its admin token, if it has one.
    :param limit_seconds: from asking to the last byte of an answer.
    :param max_bytes: of an answer.
    :param keeps_connection: whether it is asked again and again.
    """

    def __init__(
        self,
        relay: Relay,
        token: str | None,
        reactor: Any,
        screen: Screen,
        *,
        limit_seconds: float = ANSWER_SECONDS,
        max_bytes: int = MAX_ANSWER_BYTES,
        keeps_connection: bool = False,
    ) -> None:
        # Not imported before it is needed: a day file is read without.
        from twisted.web.client import Agent, HTTPConnectionPool

        self._relay = relay
        self._token = token
        self._reactor = reactor
        self._limit_seconds = limit_seconds
        self._max_bytes = max_bytes
        self._pool = HTTPConnectionPool(reactor) if keeps_connection else None
        self._agent = Agent(reactor, connectTimeout=limit_seconds, pool=self._pool)
        if token is not None and not relay.secure and not is_loopback(relay.host):
            screen.say("the token goes to the relay unencrypted: https would protect it")

    @property
    def site(self) -> str:
        """The relay's address as HTTP has it."""
        return "http" + str(self._relay).removeprefix("ws")

    async def get(self, path: str, read: Callable[[object], T]) -> T:
        """Ask for what is at `path`. `read` checks the JSON, and raises `ValueError` for what is
        wrong with it. Raises `NoFigures`."""
        return await self._ask(b"GET", path, read)

    async def post(self, path: str, read: Callable[[object], T], body: bytes = b"") -> T:
        """Have something done. As `get`."""
        return await self._ask(b"POST", path, read, body)

    async def delete(self, path: str, read: Callable[[object], T], body: bytes) -> T:
        """Have something undone. As `get`."""
        return await self._ask(b"DELETE", path, read, body)

    async def close(self) -> None:
        """Let go of the connection that is kept."""
        if self._pool is not None:
            await self._pool.closeCachedConnections()

    async def _ask(
        self, method: bytes, path: str, read: Callable[[object], T], body: bytes = b""
    ) -> T:
        from twisted.web.client import FileBodyProducer
        from twisted.web.http_headers import Headers

        headers = Headers({"user-agent": [f"apptuner-relay/{__version__}"]})
        if self._token is not None:
            headers.setRawHeaders("authorization", [f"Bearer {self._token}"])
        try:
            url = self._relay.resolve(path).encode("ascii")
            producer = FileBodyProducer(BytesIO(body)) if body else None
            waiting: Deferred[Any] = self._agent.request(method, url, headers, producer)
        except ValueError:
            site = printable(self.site, limit=_MAX_SHOWN)
            raise NoFigures(f"{site}: there can be no host of that name", Exit.USAGE) from None
        timer: IDelayedCall = self._reactor.callLater(self._limit_seconds, lambda: waiting.cancel())
        try:
            response = await waiting
            waiting = receive_body(response, self._max_bytes)
            answer = await waiting
        except NoFigures:
            raise
        except Exception as error:
            raise self._no_answer(error, timed_out=not timer.active()) from None
        finally:
            if timer.active():
                timer.cancel()
        if response.code != _OK:
            raise NoFigures(self._refused(path, response.code, answer), status=response.code)
        try:
            return read(parse_json(answer))
        except ValueError as error:
            raise NoFigures(
                f"{self.site} answers, but not as a relay of this version does: {_short(error)}"
            ) from None

    def _no_answer(self, error: Exception, *, timed_out: bool) -> NoFigures:
        if timed_out:
            text = f"{self.site} did not answer in {self._limit_seconds:g} s"
            return NoFigures(text, Exit.NO_CONNECTION)
        reasons = getattr(error, "reasons", None)
        cause = reasons[0].value if reasons else error
        words = describe(cause)
        if is_untrusted(cause):
            text = f"the certificate of {self.site} could not be verified: {words}"
            return NoFigures(text, Exit.NO_CONNECTION)
        text = f"could not ask {self.site}: {words or 'the connection was lost'}"
        return NoFigures(text, Exit.NO_CONNECTION)

    def _refused(self, path: str, status: int, body: bytes) -> str:
        if status == _UNAUTHORIZED:
            if self._token is not None:
                return f"{self.site} does not take this token"
            return f"{self.site} asks for a token: --admin-token, or ${TOKEN_VARIABLE}"
        path = path.partition("?")[0]
        try:
            reason = parse_json(body)["error"]
        except (ValueError, TypeError, KeyError):
            reason = None
        is_unknown = reason in (None, _NO_SUCH_PATH)
        if status == _NOT_FOUND and is_unknown and not path.endswith(("/close", "/release")):
            return f"{self.site} has no {path}: it is no relay of this version, or none at all"
        said = f"{self.site} answers with {status}"
        if isinstance(reason, str):
            said += f": {_short(reason)}"
        if status == _FORBIDDEN and self._token is None:
            said += " (without a token, a relay talks to its own machine only)"
        return said


class _SourceBody(Protocol):
    """Keeps an answer's body, up to a limit."""

    def __init__(self, max_bytes: int) -> None:
        self.done: Deferred[bytes] = Deferred(lambda _: self._drop())
        self._max_bytes = max_bytes
        self._parts: list[bytes] = []
        self._size = 0

    def dataReceived(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)
        if self._size > self._max_bytes and not self.done.called:
            self.done.errback(NoFigures("the relay's answer is too long to be one"))
            self._drop()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        from twisted.web.client import ResponseDone

        if self.done.called:
            return
        if reason.check(ResponseDone):
            self.done.callback(b"".join(self._parts))
        else:
            self.done.errback(reason)

    def _drop(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()


def receive_body(response: Any, max_bytes: int) -> Deferred[bytes]:
    """A response's body. Fails with `NoFigures` where it is too long; can be cancelled."""
    body = _SourceBody(max_bytes)
    response.deliverBody(body)
    return body.done


def parse_json(content: bytes) -> Any:
    """JSON. Raises `ValueError` for what is none, however it fails to be."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("it is no JSON") from None


def _short(text: object) -> str:
    return printable(str(text), limit=_MAX_SHOWN)
