"""The bundles before the last ones of their sessions: bases of patches, and dictionaries for code
that is sent over HTTP (RFC 9842)."""

from collections import Counter
from collections.abc import Iterable
from typing import TypeVar
from weakref import WeakSet

from apptuner_relay.spool.bundle import Bundle, NoCode
from apptuner_relay.spool.bundle_file import BundleFile

B = TypeVar("B", bound=Bundle)


class PreviousBundles(dict[str, BundleFile]):
    """Those of one store, by session, one each: of sessions with phones that take patches, and
    those that clients have downloaded, and may have as a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self._wanted: Counter[str] = Counter()
        """How many phones of a session take patches."""
        self._lent: WeakSet[Bundle] = WeakSet()
        """Those that clients may have as a dictionary."""

    def keep(self, session_hash: str, wanted: bool) -> None:
        """Keep a session's from now on, or no more. To be called for each phone that takes patches,
        when it comes and when it goes."""
        self._wanted[session_hash] += 1 if wanted else -1
        if not self._wanted[session_hash]:
            del self._wanted[session_hash]

    def lend(self, bundle: Bundle) -> None:
        """A client gets the code of ``bundle``, which may be the last one, as a dictionary."""
        self._lent.add(bundle)

    def retire(self, bundle: BundleFile) -> None:
        """A newer one is the last bundle of its session from now on."""
        session = bundle.session_hash
        older = self.get(session)
        if session in self._wanted or bundle in self._lent:
            self[session] = bundle
        else:
            bundle.drop()
            if older in self._lent:
                return
            self.pop(session, None)
        if older is not None:
            older.drop()


async def find_base(bundles: Iterable[B | None], sha256: str) -> B | None:
    """The bundle whose code has this hex SHA-256; None where none has. It is retained, and to be
    released by the caller."""
    held = [bundle for bundle in bundles if bundle is not None]
    for bundle in held:
        bundle.retain()
    found = None
    for bundle in held:
        try:
            if found is None and (await bundle.digest()).sha256 == sha256:
                found = bundle
                bundle.retain()
        except NoCode:
            continue
        finally:
            bundle.release()
    return found
