"""Downloads a bundle: as often as it takes, from where it stopped, and checked at the end.

What to ask and what an answer means is in `representation`, the file under way in `part`. A bundle
comes compressed where the server has that: each coding is a representation with an ETag of its own,
so that a cut download goes on in it as well as in the code itself. Where a server can't do that
(its ETags are weak, or it has none), the next try asks for the code itself. What comes coded
against code that is here (RFC 9842) is short: after a cut it is asked for again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.web.iweb import IResponse

from apptuner_relay.client.address import Relay
from apptuner_relay.client.codings import COMPRESSED, IDENTITY, Content, Garbled, unpack
from apptuner_relay.client.credentials import authorization
from apptuner_relay.client.outcome import Exit
from apptuner_relay.client.part import PartFile
from apptuner_relay.client.policy import Patience, error_text
from apptuner_relay.client.replacing import Draft, could_not_write
from apptuner_relay.client.representation import (
    Head,
    Mark,
    Meaning,
    meaning,
    request_headers,
    sha256_in,
)
from apptuner_relay.client.screen import Bar, Screen
from apptuner_relay.client.transfer import TransferError, Web, fields_of
from apptuner_relay.support import zstd_library
from apptuner_relay.wire.dictionary_transport import DCZ

MAX_BUNDLE_BYTES = 512 * 1024 * 1024
"""The most that is downloaded, and the most that it may become when it is decoded."""

RESUMING = Patience(tries=10, first_seconds=1.0, ceiling_seconds=30.0, forgiving=True)
"""How `--resume` goes on after a cut. What came makes all the tries good again."""

_TOO_MANY_REQUESTS = 429
_NOT_FOUND = 404
_GONE = 410


class DownloadError(Exception):
    """A download that failed for good; the text says why. `code` is what a command ends with."""

    def __init__(self, text: str, code: Exit) -> None:
        super().__init__(text)
        self.code = code


class Wanted(NamedTuple):
    """What to download."""

    url: str
    sha256: str | None = None
    """Hex SHA-256 of the code, where it is known; otherwise the server's word is taken."""
    size: int | None = None
    """Bytes of the code, where that is known."""
    have: str | None = None
    """Hex SHA-256 of code that need not be sent."""
    base: Path | None = None
    """The file with that code, against which another may come coded."""


class Fetched(NamedTuple):
    """What a download came to."""

    sha256: str
    size: int | None
    """Bytes of the code; None where it was not downloaded."""
    unchanged: bool = False
    """It is the code that need not be sent."""
    received: int | None = None
    """Bytes in which the code came, where it could come coded against other code."""


@dataclass(frozen=True)
class Downloader:
    """Downloads from one relay, and from where that relay says."""

    reactor: Any
    relay: Relay
    screen: Screen
    resume: bool = False
    """Go on with what an earlier run left, and after cuts."""
    keep: bool = False
    """Leave what came of a download that did not end, for a later run."""
    credential: str | None = None
    """A secret or a join token for the relay; nobody else is shown it."""
    clock: IReactorTime | None = None
    patience: Patience = field(default_factory=lambda: RESUMING)

    def start(self, wanted: Wanted, target: Path | IO[bytes] | None) -> Deferred[Fetched]:
        """Put a bundle's code at a path, into an open file, or nowhere.

        Nothing but the whole and checked code is ever at the path. What the open file, which stays
        open, holds is worth nothing unless this succeeds. Fails with `DownloadError`; can be
        cancelled.
        """
        return Deferred.fromCoroutine(_Download(self, wanted, target).run())


class _Setback(Exception):
    """A failure after which another try may do better."""

    def __init__(self, text: str, code: Exit) -> None:
        super().__init__(text)
        self.code = code


class _StartOver(Exception):
    """What is here is of no use; nothing was lost but time."""


class _Download:
    """One of them."""

    def __init__(self, by: Downloader, wanted: Wanted, target: Path | IO[bytes] | None) -> None:
        self._by = by
        self._clock: IReactorTime = by.clock or by.reactor
        self._web = Web(by.reactor, self._clock, secure=by.relay.secure)
        self._wanted = wanted
        self._target = target
        self._path = target if isinstance(target, Path) else None
        self._part: PartFile
        self._base = wanted.base if zstd_library.is_installed() else None
        self._codings: tuple[str, ...] = COMPRESSED
        self._fresh = True
        """Whether all that is here came in one go, so that starting over could not mend it."""
        self._furthest = 0
        """The most bytes that were ever here."""
        self._tries_used = 0
        self._bar: Bar | None = None

    async def run(self) -> Fetched:
        try:
            self._part = PartFile(self._path, resume=self._by.resume)
            keep = self._by.keep
            try:
                fetched = await self._until_done()
                keep = False
                return fetched
            finally:
                self._take_bar_away()
                if self._part.close(keep=keep) and self._path is not None:
                    self._by.screen.say(
                        f"what came of it stays in {self._path.name}.part; --resume goes on there"
                    )
        except OSError as error:
            raise DownloadError(could_not_write(error), Exit.FAILED) from error

    async def _until_done(self) -> Fetched:
        if self._part.size:
            self._by.screen.say(f"going on with the {self._part.size:,} bytes of an earlier run")
            self._fresh = False
        while True:
            try:
                return await self._try()
            except _StartOver as reason:
                self._part.clear()
                self._by.screen.say(f"{reason}; starting over")
            except _Setback as setback:
                await self._pause_after(setback)

    async def _pause_after(self, setback: _Setback) -> None:
        self._take_bar_away()
        if self._part.size > self._furthest:
            self._furthest, self._tries_used = self._part.size, 0
        patience = self._by.patience
        delay = patience.delay(self._tries_used) if self._by.resume else None
        if delay is None:
            raise DownloadError(str(setback), setback.code) from setback
        self._tries_used += 1
        mark = self._part.mark
        if self._part.size and not (mark and mark.resumable):
            self._part.clear()
            if mark is None or mark.coding != DCZ:
                self._codings = ()
        self._by.screen.say(
            f"{setback}; going on at byte {self._part.size:,} in {delay:g} s "
            f"({self._tries_used} of {patience.tries})"
        )
        await deferLater(self._clock, delay)

    # One request.

    async def _try(self) -> Fetched:
        part, have = self._part, self._wanted.have
        headers = request_headers(
            part.mark, part.size, have, self._codings, dictionary=self._base is not None
        )
        if self._wanted.url.startswith(self._by.relay.bundle_url("")):
            headers |= authorization(self._by.credential)
        try:
            response = await self._web.get(self._wanted.url, headers)
            head = Head.of(response.code, fields_of(response))
            judged = meaning(head, part.mark, part.size, have)
            if judged is Meaning.REFUSED:
                raise await self._refusal(response, head)
            if judged not in (Meaning.WHOLE, Meaning.REST):
                self._web.drop(response)
            match judged:
                case Meaning.UNCHANGED:
                    assert have is not None
                    return Fetched(have, None, unchanged=True)
                case Meaning.START_OVER:
                    raise _StartOver("the server has something else by now")
                case Meaning.WHOLE:
                    self._begin(head, response)
                case Meaning.REST:
                    self._fresh = False
            if judged is not Meaning.COMPLETE:
                await self._receive(response)
        except TransferError as error:
            code = Exit.FAILED if error.connected else Exit.NO_CONNECTION
            raise (DownloadError if error.final else _Setback)(str(error), code) from error
        return await self._checked()

    async def _refusal(self, response: IResponse, head: Head) -> Exception:
        reason = error_text(await self._web.short_body(response))
        if reason is None:
            reason = response.phrase.decode("latin-1")
        text = f"the server answered with HTTP {head.status}" + (f": {reason}" if reason else "")
        if head.status in (_NOT_FOUND, _GONE):
            return DownloadError(text, Exit.NO_BUNDLE)
        if head.status >= 500 or head.status == _TOO_MANY_REQUESTS:
            return _Setback(text, Exit.FAILED)
        return DownloadError(text, Exit.FAILED)

    def _begin(self, head: Head, response: IResponse) -> None:
        """Make room for a whole representation, unless it is none that is wanted."""
        mark, named = head.mark, sha256_in(head.etag)
        size = self._wanted.size if mark.coding == IDENTITY else None
        wrong = None
        if mark.coding not in (IDENTITY, *COMPRESSED, *((DCZ,) if self._base else ())):
            wrong = "the server uses a content coding that was not asked for"
        elif self._wanted.sha256 is not None and named not in (None, self._wanted.sha256):
            wrong = f"another bundle came (sha256 {named})"
        elif mark.length is not None and mark.length > MAX_BUNDLE_BYTES:
            wrong = f"it is {mark.length:,} bytes, which is too much"
        elif None not in (mark.length, size) and mark.length != size:
            wrong = f"it is {mark.length:,} bytes, and should be {size:,}"
        if wrong:
            self._web.drop(response)
            raise DownloadError(wrong, Exit.FAILED)
        if self._part.size:
            self._by.screen.say("the server has something else by now; starting over")
        self._part.begin(mark)
        self._fresh = True

    async def _receive(self, response: IResponse) -> None:
        part, mark = self._part, self._part.mark
        assert mark is not None
        bar = self._bar = self._by.screen.bar(
            mark.length, self._clock.seconds, label="receiving", done=part.size
        )
        limit = MAX_BUNDLE_BYTES if mark.length is None else mark.length

        def take(data: bytes) -> None:
            if part.size + len(data) > limit:
                part.clear()
                raise TransferError(f"more than {limit:,} bytes came", final=True, connected=True)
            part.append(data)
            bar.update(part.size)

        try:
            await self._web.receive(response, take)
        finally:
            self._take_bar_away()
        if mark.length is not None and part.size < mark.length:
            raise TransferError(f"{part.size:,} of {mark.length:,} bytes came")

    def _take_bar_away(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    # All is here.

    async def _checked(self) -> Fetched:
        """Decode what came, see whether it is what was wanted, and only then put it in place."""
        mark = self._part.mark
        assert mark is not None
        wanted = self._wanted
        expected = wanted.sha256 or sha256_in(mark.etag)
        draft, into = self._draft(mark)
        try:
            content = await self._unpacked(mark, into)
            if expected is not None and content.sha256 != expected:
                raise Garbled(f"its sha256 is {content.sha256}, and should be {expected}")
            if wanted.size is not None and content.size != wanted.size:
                raise Garbled(f"it is {content.size:,} bytes, and should be {wanted.size:,}")
            if draft is not None:
                draft.publish()
            elif self._path is not None:
                self._part.publish()
        except Garbled as garbled:
            self._part.clear()
            if not self._fresh:
                self._fresh = True
                raise _StartOver(f"what was put together is damaged ({garbled})") from None
            raise DownloadError(f"what came is damaged: {garbled}", Exit.FAILED) from None
        finally:
            if draft is not None:
                draft.discard()
        if expected is None:
            self._by.screen.complain("the server does not say which sha256 it should have")
        received = None if self._base is None else self._part.size
        return Fetched(*content, received=received)

    def _draft(self, mark: Mark) -> tuple[Draft | None, IO[bytes] | None]:
        """Where decoded code goes: a part that needs no decoding becomes the file itself."""
        match self._target:
            case None:
                return None, None
            case Path() as path:
                draft = None if mark.coding == IDENTITY else Draft(path)
                return draft, None if draft is None else draft.file
            case file:
                file.seek(0)
                file.truncate()
                return None, os.fdopen(os.dup(file.fileno()), "wb")

    async def _unpacked(self, mark: Mark, into: IO[bytes] | None) -> Content:
        limit = MAX_BUNDLE_BYTES if self._wanted.size is None else self._wanted.size
        pool = self._by.reactor.getThreadPool()
        return await deferToThreadPool(
            self._by.reactor,
            pool,
            unpack,
            self._part.reader(),
            mark.coding,
            into,
            limit,
            self._base,
        )
