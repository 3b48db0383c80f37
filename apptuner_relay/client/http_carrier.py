"""A bundle's way to the relay over HTTP, uploaded. Imported where that is asked for, as it takes
more of Twisted than a connection does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.client.address import Relay
from apptuner_relay.client.carriers import Parcel
from apptuner_relay.client.credentials import authorization
from apptuner_relay.client.policy import Patience, text_in
from apptuner_relay.client.screen import Screen
from apptuner_relay.client.transfer import Body, TransferError, Web
from apptuner_relay.wire.bundle_patch import PATCH_MEDIA_TYPE

_CREATED = 201
_REFUSALS_OF_PATCHES = (400, 412, 413, 415, 422, 428, 503)
"""What a relay answers to a patch where the whole is to be tried."""
_TOO_MANY_REQUESTS = 429
_NOT_KEPT = 507


class PatchRefusedError(TransferError):
    """The relay wants the bundle whole. The text is the reason."""


class HttpCarrier:
    """Uploads it over HTTP: to all phones, as an upload knows no others.

    With `base`, the SHA-256 of the bundle that the relay keeps, `body` is the message of a patch of
    that; else it is the code.
    """

    def __init__(
        self,
        reactor: Any,
        relay: Relay,
        session: str,
        credential: str | None,
        body: bytes,
        patience: Patience,
        screen: Screen,
        *,
        base: str | None = None,
    ) -> None:
        self.refusal = ""
        """Why the relay has refused a patch."""
        self._reactor = reactor
        self._web = Web(reactor, reactor, secure=relay.secure)
        self._url = relay.bundle_url(session)
        self._is_patch = base is not None
        if base is None:
            self._headers = {"Content-Type": "text/javascript; charset=utf-8"}
        else:
            self._headers = {"Content-Type": PATCH_MEDIA_TYPE, "If-Match": f'"{base}"'}
        self._headers |= authorization(credential)
        self._body = body
        self._patience = patience
        self._screen = screen

    def pack(self, targets: Sequence[str | None]) -> Parcel:
        """See `Carrier`."""
        size_bytes = len(self._body)
        return Parcel(size_bytes, size_bytes, self._start)

    def _start(self, progress: Callable[[int], None]) -> HttpUpload:
        upload = HttpUpload(self._reactor, self._patience, self._screen)
        upload.start(lambda: self._send(progress))
        return upload

    async def _send(self, progress: Callable[[int], None]) -> None:
        """Upload it once. Raises `TransferError`."""
        response = await self._web.send("PUT", self._url, self._headers, Body(self._body, progress))
        answer = await self._web.short_body(response)
        if response.code == _CREATED:
            return
        if self._is_patch and response.code in _REFUSALS_OF_PATCHES:
            self.refusal = text_in(answer, "reason") or f"HTTP {response.code}"
            raise PatchRefusedError(self.refusal, final=True, connected=True)
        reason = text_in(answer, "error") or response.phrase.decode("latin-1")
        passes = response.code >= 500 and response.code != _NOT_KEPT
        raise TransferError(
            f"the relay answered with HTTP {response.code}: {reason}",
            final=not (passes or response.code == _TOO_MANY_REQUESTS),
            connected=True,
        )


class HttpUpload:
    """An upload, as often as it takes."""

    _log = Logger()

    def __init__(self, clock: IReactorTime, patience: Patience, screen: Screen) -> None:
        self.done: Deferred[bool] = Deferred()
        self._clock = clock
        self._patience = patience
        self._screen = screen
        self._work: Deferred[bool]

    def start(self, send: Callable[[], Any]) -> None:
        """Begin. `send` uploads it once, and raises `TransferError`."""
        self._work = Deferred.fromCoroutine(self._run(send))
        self._work.addErrback(self._failed).chainDeferred(self.done)

    def stop(self) -> None:
        """See `Sending`: a relay drops what is cut short."""
        self._work.cancel()

    async def _run(self, send: Callable[[], Any]) -> bool:
        tries_used = 0
        while True:
            try:
                await send()
                return True
            except PatchRefusedError:
                return False
            except TransferError as error:
                delay = None if error.final else self._patience.delay(tries_used)
                if delay is None:
                    self._screen.complain(str(error))
                    return False
                tries_used += 1
                self._screen.say(
                    f"{error}; uploading again in {delay:g} s "
                    f"({tries_used} of {self._patience.tries})"
                )
            await deferLater(self._clock, delay)

    def _failed(self, failure: Failure) -> bool:
        if not failure.check(CancelledError):
            self._log.failure("uploading", failure)
        return False
