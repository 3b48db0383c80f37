"""Where an operator's figures come from: a relay's day file, or a running relay's status.

Not here: what they mean (`records`) and what becomes of them.
"""

from __future__ import annotations

import argparse
import os
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.client.address import Relay
from apptuner_relay.client.command import checked
from apptuner_relay.client.operator_api import (
    TOKEN_VARIABLE,
    NoFigures,
    OperatorApi,
    parse_json,
)
from apptuner_relay.client.outcome import Exit, UsageError
from apptuner_relay.client.printable import printable
from apptuner_relay.client.records import DayRecord, Status, read_days, read_status
from apptuner_relay.client.screen import Screen

STATUS_PATH = "/api/status"
DAYS_FILE = "days.json"
MAX_FILE_BYTES = 16 * 1024 * 1024
STATE_VARIABLE = "APPTUNER_STATE_DIR"

_MAX_SHOWN = 200


T = TypeVar("T")

_TOKEN = re.compile(r"[!-~]{8,256}")


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
        return read_days(parse_json(content))
    except ValueError as error:
        raise UsageError(
            f"{path} is no day file: {printable(str(error), limit=_MAX_SHOWN)}"
        ) from None


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
    """Ask a running relay once for what is at `path`. See `OperatorApi.get`."""
    return await OperatorApi(relay, token, reactor, screen).get(path, read)


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
