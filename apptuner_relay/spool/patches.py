"""Patches of the bundles that are on disk: those to a newer one, each made once for all who wait
for it, and those that a client sends.

A worker process makes and applies them. What they are good for, and when, is for `delivery` and
`relay.sent_patches`.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from secrets import token_hex
from typing import Generic, NamedTuple, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from apptuner_relay.spool.bundle import IDENTITY, Bundle, CodeFile, Digest, NoCode, NotNow
from apptuner_relay.spool.code.offload import Offload
from apptuner_relay.spool.spare_files import remove
from apptuner_relay.wire.bundle_patch import BadPatch

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


class Room(Protocol):
    """The room that the files of a store may take: a `store.Store`."""

    @property
    def is_exceeded(self) -> bool:
        """Whether they take more."""

    def take(self, size: int) -> None:
        """A file beside those of bundles takes ``size`` bytes more; less, where that is
        negative."""


class Patches(Generic[B]):
    """Those of one store.

    :param bases: the other bundles of a bundle's session that are whole, and on disk.
    """

    def __init__(self, bases: Callable[[B], Sequence[B]], offload: Offload, room: Room) -> None:
        self._bases = bases
        self._room = room
        self._offload = offload
        self._making: dict[tuple[B, str], list[Deferred[bytes]]] = {}

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
        calls this removes the file that it makes, and gives back its room: the size of its code.

        :raises BadPatch: it is refused.
        :raises NoCode: it can't be checked, or there is no room.
        """
        base.retain()
        try:
            sha256, size, _ = await base.digest()
            path = await base.code(IDENTITY)
            code = path.with_suffix(f".{token_hex(4)}-code")
            # What an edit inserts has at least as many bytes in the message.
            most = size + len(message)
            try:
                self._room.take(most)
                if self._room.is_exceeded:
                    raise NotNow("the spool is full")
                digest = await self._offload.patch(CodeFile(path, sha256), message, code)
            except (NoCode, BadPatch):
                self._room.take(-most)
                # The worker may have been lost when it was done.
                remove(code)
                raise
            self._room.take(digest.size - most)
            return SentPatch(message, sha256, digest, code)
        finally:
            base.release()

    async def write(self, code: Path, output: Path, now_ms: int) -> int:
        """Write the messages of a bundle to ``output``; see `bundle_messages`. Returns how many
        bytes it has. Whoever calls this gives back that room when the file is removed.

        :param code: a file with its code.
        :param now_ms: the time in ms since the epoch.
        :raises NoCode: it can't be done.
        """
        size = await self._offload.write(code, output, now_ms)
        self._room.take(size)
        return size

    def _made(self, result: bytes | Failure, key: tuple[B, str]) -> None:
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
