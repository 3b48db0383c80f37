"""Asks over HTTP, on a connection of its own for each question, and keeps whatever came back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import time as wall_s
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.endpoints import connectProtocol
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from apptuner_relay import __version__
from apptuner_relay.client.address import Relay
from apptuner_relay.client.doctor.http_answer import HttpAnswer, NoHttpError, read_answer
from apptuner_relay.client.doctor.judge_http import HttpProblem
from apptuner_relay.client.doctor.time_limit import OutOfTimeError, TimeLimit
from apptuner_relay.support.socket_errors import describe

_USUAL_PORTS = {"http": 80, "https": 443}


class NoAnswerError(Exception):
    """There is no answer that can be read. The text says what came instead, if anything did."""

    def __init__(self, problem: HttpProblem, words: str = "", took_s: float = 0.0) -> None:
        super().__init__(words)
        self.problem = problem
        self.words = words
        self.took_s = took_s


@dataclass(frozen=True)
class HeardAnswer:
    """An answer, and when it came."""

    answer: HttpAnswer
    took_s: float
    received_s: float
    """By this machine's wall clock."""


@dataclass(frozen=True)
class HttpQuestion:
    """A request without a body."""

    method: str
    url: str
    """`http` or `https`, as `Relay.resolve` makes it."""
    fields: Mapping[str, str]

    @classmethod
    def of(
        cls, relay: Relay, path: str, method: str = "GET", fields: Mapping[str, str] | None = None
    ) -> HttpQuestion:
        """A request for a path of the relay's own."""
        return cls(method, relay.resolve(path), fields or {})

    @property
    def text(self) -> bytes:
        """As it is sent."""
        parts = urlsplit(self.url)
        host = parts.netloc
        if parts.port == _USUAL_PORTS[parts.scheme]:
            host = host.rpartition(":")[0]
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        fields = {
            "Host": host,
            "User-Agent": f"apptuner-relay/{__version__}",
            "Accept": "application/json, */*;q=0.5",
            "Connection": "close",
            **self.fields,
        }
        lines = [f"{self.method} {target or '/'} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        return "\r\n".join([*lines, "", ""]).encode("ascii")


async def ask(
    reactor: Any,
    limit: TimeLimit,
    endpoint: IStreamClientEndpoint,
    question: HttpQuestion,
    seconds: float,
) -> HeardAnswer:
    """The answer to one question.

    :raises NoAnswerError: there is none.
    """
    began_s = reactor.seconds()
    asking = Asking(question.text, head_only=question.method == "HEAD")
    try:
        answer = await limit.within(seconds, _converse(endpoint, asking))
    except TimeoutError:
        took_s = reactor.seconds() - began_s
        problem = HttpProblem.ENDLESS if asking.data else HttpProblem.SILENT
        raise NoAnswerError(problem, "", took_s) from None
    except NoHttpError as error:
        took_s = reactor.seconds() - began_s
        problem = _PROBLEMS.get(str(error), HttpProblem.NO_HTTP)
        raise NoAnswerError(problem, str(error), took_s) from None
    except (CancelledError, OutOfTimeError):
        raise
    except Exception as error:
        raise NoAnswerError(HttpProblem.LOST, describe(error)) from error
    return HeardAnswer(answer, reactor.seconds() - began_s, wall_s())


_PROBLEMS = {"nothing at all": HttpProblem.CLOSED, "TLS": HttpProblem.TLS}


async def _converse(endpoint: IStreamClientEndpoint, asking: Asking) -> HttpAnswer:
    await connectProtocol(endpoint, asking)
    return await asking.answered


class Asking(Protocol):
    """One request, and its answer."""

    transport: Any

    def __init__(self, request: bytes, *, head_only: bool) -> None:
        self.data = b""
        """What came."""
        self.answered: Deferred[HttpAnswer] = Deferred(lambda _: self._leave())
        self._request = request
        self._head_only = head_only

    def connectionMade(self) -> None:
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        if not self.answered.called:
            self.data += data
            self._look(at_end=False)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.answered.called:
            return
        if not self.data and describe(reason.value):
            # An error of TLS or of the system; there is nothing to say of a mere end.
            self.answered.errback(reason)
        else:
            self._look(at_end=True)

    def _look(self, *, at_end: bool) -> None:
        try:
            answer = read_answer(self.data, at_end=at_end, head_only=self._head_only)
        except NoHttpError:
            self.answered.errback(Failure())
        else:
            if answer is None:
                return
            self.answered.callback(answer)
        self._leave()

    def _leave(self) -> None:
        if self.transport is not None:
            self.transport.abortConnection()
