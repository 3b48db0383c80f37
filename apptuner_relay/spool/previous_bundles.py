"""The last bundles but one of sessions with phones that take patches: a patch needs its base on the
disk, and what a phone has may be the one before."""

from collections import Counter

from apptuner_relay.spool.bundle_file import BundleFile


class PreviousBundles(dict[str, BundleFile]):
    """Those of one store, by session."""

    def __init__(self) -> None:
        super().__init__()
        self._wanted: Counter[str] = Counter()

    def keep(self, session_hash: str, wanted: bool) -> None:
        """Keep a session's from now on, or no more. To be called for each phone that takes patches,
        when it comes and when it goes."""
        self._wanted[session_hash] += 1 if wanted else -1
        if not self._wanted[session_hash]:
            del self._wanted[session_hash]

    def retire(self, bundle: BundleFile) -> None:
        """A newer one is the session's last bundle from now on."""
        session = bundle.session_hash
        older = self.pop(session, None)
        if older is not None:
            older.drop()
        if session in self._wanted:
            self[session] = bundle
        else:
            bundle.drop()
