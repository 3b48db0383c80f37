"""`join`: plays a phone. Takes bundles, writes them to a file, and acknowledges them."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import secrets
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime

from apptuner_relay.client import address
from apptuner_relay.client.bundles import BundleError, Joiner
from apptuner_relay.client.command import Command, add_session_arguments, checked
from apptuner_relay.client.connection import Heartbeat, Target, milliseconds
from apptuner_relay.client.membership import Membership
from apptuner_relay.client.outcome import Exit, UsageError
from apptuner_relay.client.policy import Patience
from apptuner_relay.client.printable import printable
from apptuner_relay.client.screen import Screen

PING_SECONDS = 30.0
PONG_SECONDS = 5.0
PATIENCE = Patience(tries=10, first_seconds=1.0, ceiling_seconds=30.0, forgiving=True)


class Link(Protocol):
    """What a `Phone` needs of its membership."""

    def leave(self, code: Exit) -> None: ...

    def send(self, kind: str, body: Mapping[str, object]) -> None: ...


class Phone:
    """A phone in a session, as far as bundles go."""

    def __init__(
        self,
        device: str,
        output: Path | None,
        once: bool,
        link: Link,
        clock: IReactorTime,
        screen: Screen,
    ) -> None:
        self._device = device
        self._output = output
        self._once = once
        self._link = link
        self._clock = clock
        self._screen = screen
        self._joiner = Joiner()

    def welcomed(self) -> None:
        self._screen.say(f"connected as device {self._device}; waiting for a bundle")

    def disconnected(self) -> None:
        if self._joiner.unfinished:
            self._screen.say("the bundle under way is lost with the connection")
        self._joiner.discard()

    def received(self, message: Mapping[str, Any]) -> None:
        match message["type"]:
            case "error":
                error = message.get("error")
                reason = error if isinstance(error, str) else "?"
                self._screen.complain(f"the relay reports: {reason}")
                return
            case "bundle_start" if self._joiner.unfinished:
                self._screen.say("a new bundle starts before the last one was whole")
        try:
            code = self._joiner.feed(message)
            if code is None:
                return
            self._keep(code)
        except (BundleError, OSError) as error:
            reason = str(error) if isinstance(error, BundleError) else _words(error)
            self._screen.complain(f"bundle failed: {reason}")
            self._acknowledge(reason)
        else:
            self._acknowledge(None)

    def _keep(self, code: bytes) -> None:
        if self._output is not None:
            write_whole(self._output, code)
        where = f"  {self._output}" if self._output is not None else ""
        self._screen.tell(f"{len(code)} bytes  sha256 {hashlib.sha256(code).hexdigest()}{where}")

    def _acknowledge(self, error: str | None) -> None:
        body: dict[str, object] = {"success": error is None}
        if error is not None:
            body["error"] = printable(error)
        body |= {"deviceId": self._device, "timestamp": milliseconds(self._clock)}
        self._link.send("bundle_ack", body)
        if self._once:
            self._link.leave(Exit.DONE if error is None else Exit.FAILED)


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file's content, so that no reader ever sees a part of it.

    Raises `OSError`, and leaves what was there before, when it can't be done.
    """
    draft = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.part")
    try:
        with draft.open("xb") as file:
            file.write(content)
        draft.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


def _words(error: OSError) -> str:
    return f"could not write the file: {error.strerror or error}"


def _platform(text: str) -> str:
    if text not in ("ios", "android"):
        raise ValueError("a platform is 'ios' or 'android'")
    return text


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_session_arguments(parser)
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=Path,
        help="write each bundle to this file, in place of the last "
        "(default: only print its size and SHA-256)",
    )
    parser.add_argument("--once", action="store_true", help="leave after the first bundle")
    parser.add_argument(
        "--device-id",
        metavar="ID",
        type=checked(address.device_id),
        help="the phone's id (default: join- and eight random hex digits)",
    )
    parser.add_argument(
        "--name",
        type=checked(address.device_name),
        help="the phone's name, up to 64 characters (default: this host's name)",
    )
    parser.add_argument(
        "--platform",
        metavar="ios|android",
        type=checked(_platform),
        help="the phone's platform (default: not said)",
    )


def _start(arguments: argparse.Namespace, reactor: Any, screen: Screen) -> Membership:
    output = None if arguments.output is None else _checked_output(arguments.output)
    device = arguments.device_id or f"join-{secrets.token_hex(4)}"
    name = arguments.name or socket.gethostname()[: address.MAX_NAME_CHARACTERS]
    query = {"deviceId": device, "name": name}
    if arguments.platform:
        query["platform"] = arguments.platform
    membership = Membership(
        reactor,
        Target(arguments.relay, arguments.relay.resource("mobile", arguments.session, query)),
        Heartbeat(PING_SECONDS, PONG_SECONDS),
        PATIENCE,
        screen,
    )
    membership.start(Phone(device, output, arguments.once, membership, reactor, screen))
    return membership


def _checked_output(path: Path) -> Path:
    """Where to write, with symbolic links followed: renaming over one would replace it."""
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise UsageError(f"{path} is not a regular file")
    if not target.parent.is_dir():
        raise UsageError(f"{path}: the directory does not exist")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise UsageError(f"{path}: the directory can't be written to")
    return target


COMMAND = Command(
    "join",
    "take bundles from a session, as a phone does",
    "Connects as a phone, takes every bundle the session's CLI sends, and acknowledges it: with\n"
    "success once the file is written, with an error when the bundle did not arrive whole. Runs\n"
    "until interrupted, or until the first bundle with --once.",
    _add_arguments,
    _start,
)
