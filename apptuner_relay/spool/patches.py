"""Patches of the bundles that are on disk: those to a newer one, each made once for all who wait
for it, and those that a client sends.

A worker process makes and applies them. What they are good for, and when, is for `delivery` and
`relay.sent_patches`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from secrets import token_hex
from typing import Generic, NamedTuple, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from apptuner_relay.spool.bundle import IDENTITY, Bundle, CodeFile, Digest, NoCode, NotNow
from apptuner_relay.spool.code.offload import Offload
from apptuner_relay.spool.spare_files import remove

B = TypeVar("B", bound=Bundle)


class SentPatch(NamedTuple):
    """A patch that a client has sent, and that has been checked."""

    message: bytes
    """The ``bundle_patch``, as it was sent."""
    base: str
    """Hex SHA-256 of the code that it is for."""
    digest: Digest
    """The content address of what it makes."""
    code_path: Path
    """A file with the code that it makes. The bundle takes it over when it begins."""


class Patches(Generic[B]):
    """Those of one store.

    :param bases: the other bundles of a bundle's session that are whole, and on disk.
    """

    def __init__(self, bases: Callable[[B], Sequence[B]], offload: Offload) -> None:
        self._bases = bases
        self._offload = offload
        self._making: dict[tuple[B, str], list[Deferred[bytes]]] = {}
        self.made = 0
        """How many were made."""

    def patch(self, have: str, bundle: B, now_ms: int) -> Deferred[bytes]:
        """Fires with a ``bundle_patch`` that leads from the code with the SHA-256 ``have`` to that
        of ``bundle``, whose content address is known.

        Fails with `NoCode` where that code isn't on disk, or differs too much.

        :param now_ms: the time in ms since the epoch.
        """
        waiter: Deferred[bytes] = Deferred()
        waiters = self._making.setdefault((bundle, have), [])
        waiters.append(waiter)
        if len(waiters) == 1:
            made = Deferred.fromCoroutine(self._make(have, bundle, now_ms))
            made.addBoth(self._made, (bundle, have))
        return waiter

    async def apply(self, base: B, message: bytes) -> SentPatch:
        """Check the ``bundle_patch`` ``message``, and apply it to the code of ``base``. Whoever
        calls this removes the file that it makes.

        :raises BadPatch: it is refused.
        :raises NoCode: it can't be checked.
        """
        base.retain()
        try:
            sha256 = (await base.digest()).sha256
            path = await base.code(IDENTITY)
            code = path.with_suffix(f".{token_hex(4)}-code")
            old = CodeFile(path, sha256)
            try:
                digest = await self._offload.patch(old, message, code)
            except NoCode:
                # Its answer may have been on its way when this was cancelled.
                remove(code)
                raise
            return SentPatch(message, sha256, digest, code)
        finally:
            base.release()

    async def write(self, code: Path, output: Path, now_ms: int) -> None:
        """Write the messages of a bundle to ``output``; see `bundle_messages`.

        :param code: a file with its code.
        :param now_ms: the time in ms since the epoch.
        :raises NoCode: it can't be done.
        """
        await self._offload.write(code, output, now_ms)

    def _made(self, result: bytes | Failure, key: tuple[B, str]) -> None:
        self.made += isinstance(result, bytes)
        for waiter in self._making.pop(key):
            waiter.callback(result)

    async def _make(self, have: str, bundle: B, now_ms: int) -> bytes:
        bases = self._bases(bundle)
        held = (bundle, *bases)
        for one in held:
            one.retain()
        try:
            for base in bases:
                try:
                    if (await base.digest()).sha256 != have:
                        continue
                except NoCode:
                    continue
                new = CodeFile(await bundle.code(IDENTITY), (await bundle.digest()).sha256)
                old = CodeFile(await base.code(IDENTITY), have)
                return await self._offload.diff(old, new, now_ms)
        finally:
            for one in held:
                one.release()
        raise NotNow("its base is not on disk")
