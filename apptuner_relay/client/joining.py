"""How a phone takes bundles: over its connection or as downloads, one at a time, the last one wins.

A state machine that learns of messages and of downloads from outside. It has no socket and no
arguments; the command line for it is in `join`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from time import time as wall_s
from typing import Any, NamedTuple

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.client import amounts
from apptuner_relay.client.address import Relay
from apptuner_relay.client.bundles import BundleError, Joiner, encode
from apptuner_relay.client.download import DownloadError, Fetched, Wanted
from apptuner_relay.client.membership import Membership
from apptuner_relay.client.outcome import Exit
from apptuner_relay.client.patched_code import patched_code
from apptuner_relay.client.printable import printable
from apptuner_relay.client.replacing import could_not_write, write_whole
from apptuner_relay.client.representation import is_sha256
from apptuner_relay.client.screen import Screen
from apptuner_relay.support.clocks import in_ms
from apptuner_relay.wire.bundle_patch import PATCH_TYPE, BadPatch

_log = Logger()

COUNTED = ("bundles", "unchanged", "failed")
"""What is counted of bundles, for other programs."""


class Task(NamedTuple):
    """What a phone is for."""

    device: str
    output: Path | None
    """Where each bundle goes, in place of the last; None: nowhere."""
    once: bool = False
    """Leave after the first."""
    have: str | None = None
    """SHA-256 of the code that is here from the start."""
    patches: bool = False
    """Whether patches are taken, of the code that is here."""
    base: bytes | None = None
    """With `patches`: the code that is here from the start."""


class JoinedPhone:
    """A phone in a session, as far as bundles go.

    Without `download` it takes no announcements. `remember` is told the SHA-256 of the code that
    is here each time that it changes.
    """

    def __init__(
        self,
        task: Task,
        membership: Membership,
        screen: Screen,
        *,
        download: Callable[[Wanted], Deferred[Fetched]] | None = None,
        relay: Relay | None = None,
        remember: Callable[[str], None] = lambda sha256: None,
    ) -> None:
        self._device, self._output, self._once, self._have, self._patches, self._base = task
        self._membership = membership
        self._screen = screen
        self._start = download
        self._relay = relay
        self._remember = remember
        self._joiner = Joiner()
        self._counts: Counter[str] = Counter()
        self._counted()
        self._connected = False
        self._owed: dict[str, object] | None = None
        """An acknowledgement that there was no connection for."""
        self._download: Deferred[Fetched] | None = None
        self._wanted: Wanted | None = None
        """What is being downloaded, or will be as soon as the last download is out of the way."""

    def welcomed(self) -> None:
        self._connected = True
        self._screen.event("connected", deviceId=self._device)
        self._screen.say(f"connected as device {self._device}; waiting for a bundle")
        owed, self._owed = self._owed, None
        if owed is not None:
            self._send(owed)

    def disconnected(self) -> None:
        self._connected = False
        if self._joiner.unfinished:
            self._screen.say("the bundle under way is lost with the connection")
        self._joiner.discard()

    def tidy(self) -> None:
        """Stop what is under way."""
        self._wanted = None
        if self._download is not None:
            self._download.cancel()

    def received(self, message: Mapping[str, Any]) -> None:
        match message["type"]:
            case "error":
                error = message.get("error")
                reason = error if isinstance(error, str) else "?"
                self._screen.event("relay_error", error=reason)
                self._screen.complain(f"the relay reports: {reason}")
            case "bundle_unchanged":
                self._heed_unchanged(message)
            case "bundle_available" if self._start is not None:
                self._heed_announcement(message)
            case kind if kind == PATCH_TYPE and self._patches:
                self._heed_patch(message)
            case _:
                self._heed_bundle(message)

    def _heed_bundle(self, message: Mapping[str, Any]) -> None:
        if message["type"] in ("bundle_start", "bundle_update"):
            if self._joiner.unfinished:
                self._screen.say("a new bundle starts before the last one was whole")
            self._supersede()
        try:
            code = self._joiner.feed(message)
        except BundleError as error:
            self._failed(str(error))
        else:
            if code is not None:
                self._take(code)

    def _heed_patch(self, message: Mapping[str, Any]) -> None:
        if self._joiner.unfinished:
            self._screen.say("a patch comes before the last bundle was whole")
            self._joiner.discard()
        try:
            code = patched_code(message, self._base, self._have)
        except BadPatch as error:
            reason = error.fault.value
            self._screen.say(f"a patch can't be applied ({reason}); asking for the whole bundle")
            self._membership.send("bundle_wanted", {"reason": reason, "timestamp": in_ms(wall_s())})
            return
        # All who make patches write them so; the message itself is gone by now.
        size = len(encode(PATCH_TYPE, {k: v for k, v in message.items() if k != "type"}))
        self._screen.event("patch", patch_bytes=size, bytes=len(code))
        self._screen.tell(f"patch: {size:,} bytes -> {amounts.data(len(code))}")
        self._take(code)

    def _take(self, code: bytes) -> None:
        try:
            if self._output is not None:
                write_whole(self._output, code)
        except OSError as error:
            self._failed(could_not_write(error))
            return
        if self._patches:
            self._base = code
        self._kept(hashlib.sha256(code).hexdigest(), len(code))

    def _heed_unchanged(self, message: Mapping[str, Any]) -> None:
        sha256 = message.get("sha256")
        if self._have is None or sha256 != self._have:
            self._failed("the relay says that nothing changed, of code that is not here")
            return
        self._supersede()
        self._unchanged()

    def _unchanged(self) -> None:
        # The phone has what its CLI wants it to have, which is what an acknowledgement says.
        self._counted(unchanged=1)
        self._screen.event("unchanged", sha256=self._have)
        self._screen.tell(f"unchanged  sha256 {self._have}")
        self._acknowledge(None)

    # Downloads.

    def _heed_announcement(self, message: Mapping[str, Any]) -> None:
        try:
            wanted = self._wanted_by(message)
        except BundleError as error:
            self._failed(str(error))
            return
        if self._wanted is not None and self._wanted.sha256 == wanted.sha256:
            return  # It is said again to who joins again.
        self._supersede()
        if wanted.sha256 == self._have:
            self._unchanged()
            return
        self._screen.say(f"a bundle of {wanted.size:,} bytes is there; downloading it")
        self._wanted = wanted
        if self._download is None:
            self._begin()

    def _wanted_by(self, message: Mapping[str, Any]) -> Wanted:
        url, sha256, size = message.get("url"), message.get("sha256"), message.get("size")
        if not isinstance(url, str) or not is_sha256(sha256) or type(size) is not int or size < 0:
            raise BundleError("bundle_available lacks its url, its sha256 or its size")
        assert self._relay is not None
        try:
            return Wanted(self._relay.resolve(url), sha256, size)
        except ValueError as error:
            raise BundleError(f"bundle_available has a URL that can't be used: {error}") from None

    def _begin(self) -> None:
        assert self._start is not None and self._wanted is not None
        wanted = self._wanted
        download = self._download = self._start(wanted)
        download.addBoth(self._ended, wanted)

    def _ended(self, result: Fetched | Failure, wanted: Wanted) -> None:
        self._download = None
        if self._wanted is not wanted:
            # Superseded; it may have come to its end all the same.
            if isinstance(result, Failure) and not result.check(CancelledError, DownloadError):
                _log.failure("leaving a download", result)
            if self._wanted is not None:
                self._begin()
            return
        self._wanted = None
        if not isinstance(result, Failure):
            assert result.size is not None
            self._kept(result.sha256, result.size)
            return
        if not result.check(DownloadError):
            _log.failure("downloading", result)
        self._failed(str(result.value))

    def _supersede(self) -> None:
        """What is being downloaded is not wanted any more."""
        if self._wanted is not None:
            self._screen.say("a newer bundle is there; leaving the last one")
        self.tidy()

    # Answers.

    def _kept(self, sha256: str, size: int) -> None:
        self._counted(bundles=1)
        output = None if self._output is None else str(self._output)
        self._screen.event("bundle", bytes=size, sha256=sha256, output=output)
        where = "" if output is None else f"  {output}"
        self._screen.tell(f"{size} bytes  sha256 {sha256}{where}")
        self._have = sha256
        self._remember(sha256)
        self._acknowledge(None)

    def _failed(self, reason: str) -> None:
        self._counted(failed=1)
        self._screen.event("failed", error=reason)
        self._screen.complain(f"bundle failed: {reason}")
        self._acknowledge(reason)

    def _counted(self, **more: int) -> None:
        self._counts.update(more)
        self._screen.result(**{name: self._counts[name] for name in COUNTED})

    def _acknowledge(self, error: str | None) -> None:
        body: dict[str, object] = {"success": error is None}
        if error is not None:
            body["error"] = printable(error)
        body |= {"deviceId": self._device, "timestamp": in_ms(wall_s())}
        if self._connected:
            self._send(body)
        else:
            self._owed = body

    def _send(self, ack: dict[str, object]) -> None:
        self._membership.send("bundle_ack", ack)
        if self._once:
            self._membership.leave(Exit.DONE if ack["success"] else Exit.FAILED)
