"""Tells a CLI that may send patches which of its bundles are kept: those may be patched."""

from collections.abc import Callable
from functools import partial

from twisted.python.failure import Failure

from apptuner_relay.spool.bundle import Digest, NoCode
from apptuner_relay.spool.bundle_file import BundleFile
from apptuner_relay.spool.bundle_log import BundleLog
from apptuner_relay.wire import messages


class KeptNotices:
    """Those to one CLI.

    :param tell: sends it a message of the relay's own.
    :param keeps: whether the store keeps a bundle.
    :param now_ms: gives the time in ms since the epoch.
    """

    def __init__(
        self,
        tell: Callable[[bytes], None],
        keeps: Callable[[BundleFile], bool],
        now_ms: Callable[[], int],
    ) -> None:
        self._tell = tell
        self._keeps = keeps
        self._now_ms = now_ms

    def completed(self, bundle: BundleLog) -> None:
        """All of a bundle has come from the CLI. It is told once the bundle is on the disk, and
        hashed."""
        file = bundle.file
        if file is None or file.gone:
            return
        file.retain()
        digested = file.digest()
        digested.addCallbacks(partial(self._digested, file), _pass_over)
        digested.addBoth(lambda _: file.release())

    def _digested(self, file: BundleFile, digest: Digest) -> None:
        # Of two senders' bundles the store keeps the one that began last.
        if self._keeps(file):
            self._tell(messages.bundle_kept(digest.sha256, self._now_ms()))


def _pass_over(failure: Failure) -> None:
    failure.trap(NoCode)
