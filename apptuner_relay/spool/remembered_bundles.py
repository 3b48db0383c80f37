"""Remembers bundles weakly: a few of them for each phone, and mostly none. An empty `WeakSet` takes
900 bytes.
"""

from collections.abc import Iterable
from weakref import ref

from apptuner_relay.spool.bundle_log import BundleLog


class RememberedBundles:
    """Some bundles. They aren't kept alive."""

    __slots__ = ("_bundles",)

    def __init__(self) -> None:
        self._bundles: tuple[ref[BundleLog], ...] = ()

    def __contains__(self, bundle: BundleLog) -> bool:
        return any(one() is bundle for one in self._bundles)

    def add(self, bundle: BundleLog) -> None:
        """Remember ``bundle``. Those that are gone are forgotten."""
        if bundle not in self:
            alive = [one for one in self._bundles if one() is not None]
            self._bundles = (*alive, ref(bundle))

    def update(self, bundles: Iterable[BundleLog]) -> None:
        """Remember all of ``bundles``."""
        for bundle in bundles:
            self.add(bundle)
