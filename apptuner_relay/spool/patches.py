"""Patches from the bundles that are on disk to a newer one, each made once for all who wait for it.

A worker process makes them. What they are good for, and when, is for `delivery`.
"""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from apptuner_relay.spool.bundle import IDENTITY, Bundle, NoCode, NotNow
from apptuner_relay.spool.code.offload import CodeFile, Offload

B = TypeVar("B", bound=Bundle)


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
