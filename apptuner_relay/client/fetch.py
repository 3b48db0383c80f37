"""`fetch`: downloads a session's last bundle over HTTP, to a file or to standard output."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import IO, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.client.command import Command, add_session_arguments, checked
from apptuner_relay.client.content import add_have_argument, had, sha256_hex
from apptuner_relay.client.credentials import add_key_argument, add_token_argument, shown
from apptuner_relay.client.download import Downloader, DownloadError, Fetched, Wanted
from apptuner_relay.client.outcome import Exit, UsageError
from apptuner_relay.client.output_file import OutputFile
from apptuner_relay.client.replacing import checked_output, could_not_write
from apptuner_relay.client.screen import Screen
from apptuner_relay.support import zstd_library

_log = Logger()

_STANDARD_OUTPUT = "-"


class Fetch:
    """A download, and what is said about it.

    `done` fires once, with the exit code.
    """

    def __init__(
        self, downloader: Downloader, wanted: Wanted, output: Path | None, screen: Screen
    ) -> None:
        self.done: Deferred[Exit] = Deferred()
        self._downloader = downloader
        self._wanted = wanted
        self._output = output
        self._screen = screen
        self._leaving: Exit | None = None
        self._work: Deferred[Exit]

    def start(self) -> None:
        """Begin."""
        self._work = Deferred.fromCoroutine(self._run())
        self._work.addErrback(self._left)
        self._work.chainDeferred(self.done)

    def leave(self, code: Exit) -> None:
        """Stop. What came so far stays, for another run."""
        if self._leaving is None:
            self._leaving = code
            self._work.cancel()

    async def _run(self) -> Exit:
        try:
            if self._output is not None:
                fetched = await self._downloader.start(self._wanted, self._output)
                self._report(fetched)
            else:
                with tempfile.TemporaryFile() as spool:
                    fetched = await self._downloader.start(self._wanted, spool)
                    self._report(fetched)
                    if not fetched.unchanged:
                        await self._pour(spool)
        except DownloadError as error:
            self._screen.complain(str(error))
            return error.code
        except OSError as error:
            self._screen.complain(could_not_write(error))
            return Exit.FAILED
        return Exit.DONE

    async def _pour(self, spool: IO[bytes]) -> None:
        """To standard output: only now, for who reads it may act on it at once."""
        spool.seek(0)
        await OutputFile(self._downloader.reactor, spool, self._screen.out_descriptor).done

    def _report(self, fetched: Fetched) -> None:
        self._screen.result(
            sha256=fetched.sha256,
            bytes=fetched.size,
            unchanged=fetched.unchanged,
            received_bytes=fetched.received,
            output=None if self._output is None else str(self._output),
        )
        if fetched.unchanged:
            text = f"unchanged  sha256 {fetched.sha256}"
        else:
            text = f"{fetched.size} bytes  sha256 {fetched.sha256}"
            if fetched.received is not None:
                text += f"  {fetched.received} bytes on the wire"
        if self._output is None:
            self._screen.say(text)
        else:
            self._screen.tell(text if fetched.unchanged else f"{text}  {self._output}")

    def _left(self, failure: Failure) -> Exit:
        if self._leaving is not None and failure.check(CancelledError):
            return self._leaving
        _log.failure("fetching", failure)
        return Exit.FAILED


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_session_arguments(parser)
    add_token_argument(parser)
    add_key_argument(parser, "the session's secret, with which the bundle is to be had as well")
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="write the code to this file; '-' is standard output, and the default unless that is "
        "a terminal. Either gets nothing before the code is whole and checked",
    )
    parser.add_argument(
        "--sha256",
        metavar="HEX",
        type=checked(sha256_hex),
        help="fetch the bundle with this SHA-256, or none (default: the last one, whichever it is)",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the FILE.part that an earlier run left, and after cuts and passing "
        "trouble, up to 10 times in a row without progress, 1 to 30 seconds apart",
    )
    add_have_argument(
        parser,
        "if it is the last bundle, nothing is fetched, and that is no error. Of a file, only what "
        "has changed is fetched where the relay can tell, if backports.zstd is installed "
        "(apptuner-relay[delta])",
    )


def _start(arguments: argparse.Namespace, reactor: Any, screen: Screen) -> Fetch:
    output = None
    if arguments.output is not None and arguments.output != _STANDARD_OUTPUT:
        output = checked_output(Path(arguments.output))
    elif arguments.output is None and screen.out_is_terminal:
        raise UsageError("a bundle is too long for a terminal: say --output FILE, or --output -")
    if output is None and screen.speaks_json:
        raise UsageError("--json and the bundle both want standard output: say --output FILE")
    have = had(arguments.have, output)
    base = _file_of(arguments.have)
    if base is not None and not zstd_library.is_installed():
        screen.say(
            "backports.zstd is not installed (pip install 'apptuner-relay[delta]'): another bundle "
            "than that of --have comes whole"
        )
    try:
        url = arguments.relay.bundle_url(arguments.session, arguments.sha256)
    except ValueError as error:
        raise UsageError(f"--relay: {error}") from None
    downloader = Downloader(
        reactor,
        arguments.relay,
        screen,
        resume=arguments.resume,
        keep=True,
        credential=shown(arguments),
    )
    fetch = Fetch(downloader, Wanted(url, arguments.sha256, have=have, base=base), output, screen)
    fetch.start()
    return fetch


def _file_of(have: str | None) -> Path | None:
    """The file that `--have` names, where it names one that is there."""
    if have is None:
        return None
    try:
        sha256_hex(have)
    except ValueError:
        path = Path(have)
        return path if path.is_file() else None
    return None


COMMAND = Command(
    "fetch",
    "Downloads the code of the last bundle that the relay keeps of a session, over HTTP and\n"
    "compressed, checks its SHA-256, and writes it to a file or to standard output. While it is\n"
    "under way it is in FILE.part (and FILE.part.json), which stays if the download does not end:\n"
    "--resume goes on from there.",
    _add_arguments,
    _start,
)
