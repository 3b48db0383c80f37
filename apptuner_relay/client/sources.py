"""Where an operator's figures come from: a relay's day file, or a running relay's status.

Not here: what they mean (`records`) and what becomes of them.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import Agent, ResponseDone
from twisted.web.http_headers import Headers

from apptuner_relay import __version__
from apptuner_relay.client.address import Relay
from apptuner_relay.client.command import checked
from apptuner_relay.client.outcome import Exit, UsageError
from apptuner_relay.client.printable import printable
from apptuner_relay.client.records import DayRecord, Status, read_days, read_status
from apptuner_relay.client.screen import Screen
from apptuner_relay.support.socket_errors import describe, is_untrusted

STATUS_PATH = "/api/status"
DAYS_FILE = "days.json"
ANSWER_SECONDS = 20.0
"""From asking to the last byte of the answer."""

MAX_ANSWER_BYTES = 4 * 1024 * 1024
MAX_FILE_BYTES = 16 * 1024 * 1024
STATE_VARIABLE = "APPTUNER_STATE_DIR"
TOKEN_VARIABLE = "APPTUNER_ADMIN_TOKEN"

_OK, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 200, 401, 403, 404
_MAX_SHOWN = 200


T = TypeVar("T")

_TOKEN = re.compile(r"[!-~]{8,256}")


class NoFigures(Exception):
    """The figures could not be had; the text says why, and `code` how the program ends."""

    def __init__(self, text: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(text)
        self.code = code


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """`--from` and `--admin-token`."""
    parser.add_argument(
        "--from",
        dest="source",
        metavar="URL",
        type=checked(Relay.parse),
        help="a running relay's address: http://HOST[:PORT] or https://HOST[:PORT], with a path "
        "if it has one; ws and wss mean the same",
    )
    add_token_argument(parser)


def add_token_argument(parser: argparse.ArgumentParser) -> None:
    """`--admin-token`."""
    parser.add_argument(
        "--admin-token",
        metavar="TOKEN|@FILE",
        type=checked(read_token),
        default=os.environ.get(TOKEN_VARIABLE),
        help="what that relay's --admin-token is; @FILE reads it from a file, as others on this "
        f"machine can see a command line (default: ${TOKEN_VARIABLE})",
    )


def read_token(text: str) -> str | None:
    """A token, or that of `@FILE`, or None of `none` or nothing: as a relay reads it.

    Raises `ValueError` with a text for the user.
    """
    if text.strip() in ("", "none"):
        return None
    if text.startswith("@"):
        try:
            text = Path(text[1:]).expanduser().read_text("utf-8").strip("\r\n")
        except (OSError, ValueError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or "it can't be read as text"
            raise ValueError(f"the token's file: {reason}") from None
    if not _TOKEN.fullmatch(text):
        raise ValueError("a token is 8 to 256 visible ASCII characters without spaces, or @FILE")
    return text


def find_state_dir(setting: str, environment: Mapping[str, str]) -> Path:
    """The directory that a relay with this `--state-dir` and environment keeps its state in.

    Raises `UsageError` where there is none.
    """
    if setting == "off":
        raise UsageError("a relay with --state-dir off keeps no record: ask it with --from URL")
    if setting != "auto":
        return Path(os.path.abspath(os.path.expanduser(setting)))
    given = environment.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    # The XDG Base Directory Specification has relative paths ignored.
    base = environment.get("XDG_STATE_HOME", "")
    if not os.path.isabs(base):
        home = environment.get("HOME") or os.path.expanduser("~")
        if not os.path.isabs(home):
            raise UsageError("there is no home directory to look in: give --state-dir or --from")
        base = os.path.join(home, ".local", "state")
    return Path(base, "apptuner-relay")


def days_on_disk(directory: Path) -> tuple[DayRecord, ...]:
    """The days of a relay's state directory, oldest first. Raises `UsageError`."""
    path = directory / DAYS_FILE
    try:
        with open(path, "rb", opener=_open_regular) as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise UsageError(
            f"{path}: no such file. Give the relay's --state-dir, or --from URL for one that runs"
        ) from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    if len(content) > MAX_FILE_BYTES:
        raise UsageError(f"{path} is above {MAX_FILE_BYTES:,} bytes: that is no day file")
    try:
        return read_days(_parsed(content))
    except ValueError as error:
        raise UsageError(f"{path} is no day file: {_short(error)}") from None


def _open_regular(path: str, flags: int) -> int:
    """Opens without waiting for a writer, as a pipe would have it."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "not a regular file")
    return descriptor


async def ask(relay: Relay, token: str | None, reactor: Any, screen: Screen) -> Status:
    """Ask a running relay for its status. Raises `NoFigures`."""
    return await ask_for(STATUS_PATH, read_status, relay, token, reactor, screen)


async def ask_for(
    path: str,
    read: Callable[[object], T],
    relay: Relay,
    token: str | None,
    reactor: Any,
    screen: Screen,
) -> T:
    """Ask a running relay for what is at `path`. `read` checks the JSON, and raises `ValueError`
    for what is wrong with it. Raises `NoFigures`."""
    headers = Headers({"user-agent": [f"apptuner-relay/{__version__}"]})
    if token is not None:
        headers.setRawHeaders("authorization", [f"Bearer {token}"])
        if not relay.secure and not _is_loopback(relay.host):
            screen.say("the token goes to the relay unencrypted: https would protect it")
    agent = Agent(reactor, connectTimeout=ANSWER_SECONDS)
    try:
        asked = agent.request(b"GET", relay.resolve(path).encode("ascii"), headers)
    except ValueError:
        site = printable(_site(relay), limit=_MAX_SHOWN)
        raise NoFigures(f"{site}: there can be no host of that name", Exit.USAGE) from None
    timer: IDelayedCall = reactor.callLater(ANSWER_SECONDS, asked.cancel)
    try:
        response = await asked
        body = await _body_of(response)
    except NoFigures:
        raise
    except Exception as error:
        raise _no_answer(relay, error, timed_out=not timer.active()) from None
    finally:
        if timer.active():
            timer.cancel()
    if response.code != _OK:
        raise NoFigures(_refused(relay, path, response.code, body, with_token=token is not None))
    try:
        return read(_parsed(body))
    except ValueError as error:
        raise NoFigures(
            f"{_site(relay)} answers, but not as a relay of this version does: {_short(error)}"
        ) from None


class _SourceBody(Protocol):
    """Keeps an answer's body, up to a limit."""

    def __init__(self) -> None:
        self.done: Deferred[bytes] = Deferred(lambda _: self._drop())
        self._parts: list[bytes] = []
        self._size = 0

    def dataReceived(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)
        if self._size > MAX_ANSWER_BYTES and not self.done.called:
            self.done.errback(NoFigures("the relay's answer is too long to be one"))
            self._drop()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        if reason.check(ResponseDone):
            self.done.callback(b"".join(self._parts))
        else:
            self.done.errback(reason)

    def _drop(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()


def _body_of(response: Any) -> Deferred[bytes]:
    body = _SourceBody()
    response.deliverBody(body)
    return body.done


def _site(relay: Relay) -> str:
    """Its address as HTTP has it."""
    return "http" + str(relay).removeprefix("ws")


def _no_answer(relay: Relay, error: Exception, *, timed_out: bool) -> NoFigures:
    site = _site(relay)
    if timed_out:
        return NoFigures(f"{site} did not answer in {ANSWER_SECONDS:g} s", Exit.NO_CONNECTION)
    reasons = getattr(error, "reasons", None)
    cause = reasons[0].value if reasons else error
    words = describe(cause)
    if is_untrusted(cause):
        return NoFigures(
            f"the certificate of {site} could not be verified: {words}", Exit.NO_CONNECTION
        )
    return NoFigures(
        f"could not ask {site}: {words or 'the connection was lost'}", Exit.NO_CONNECTION
    )


def _refused(relay: Relay, path: str, status: int, body: bytes, *, with_token: bool) -> str:
    site = _site(relay)
    if status == _UNAUTHORIZED:
        if with_token:
            return f"{site} does not take this token"
        return f"{site} asks for a token: --admin-token, or ${TOKEN_VARIABLE}"
    if status == _NOT_FOUND:
        return f"{site} has no {path}: it is no relay of this version, or none at all"
    said = f"{site} answers with {status}"
    try:
        reason = _parsed(body)["error"]
    except (ValueError, TypeError, KeyError):
        reason = None
    if isinstance(reason, str):
        said += f": {_short(reason)}"
    if status == _FORBIDDEN and not with_token:
        said += " (without a token, a relay talks to its own machine only)"
    return said


def _parsed(content: bytes) -> Any:
    """JSON. Raises `ValueError` for what is none, however it fails to be."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("it is no JSON") from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _short(text: object) -> str:
    return printable(str(text), limit=_MAX_SHOWN)


class Inquiry:
    """A command that asks one thing, shows what comes of it, and is done.

    :param asked: what fires with it, or fails with `NoFigures`.
    """

    log = Logger()

    def __init__(self, asked: Deferred[T], show: Callable[[T], Exit], screen: Screen) -> None:
        self.done: Deferred[Exit] = Deferred()
        self._asked = asked
        self._screen = screen
        self._left: Exit | None = None
        asked.addCallback(show).addErrback(self._failed).addCallback(self._end)

    def leave(self, code: Exit) -> None:
        """Ask no longer."""
        if not self.done.called:
            self._left = code
            self._asked.cancel()

    def _failed(self, failure: Failure) -> Exit:
        if self._left is not None:
            return self._left
        if isinstance(failure.value, NoFigures):
            self._screen.complain(str(failure.value))
            return failure.value.code
        self.log.failure("a bug", failure)
        return Exit.FAILED

    def _end(self, code: Exit) -> None:
        self.done.callback(code if self._left is None else self._left)
