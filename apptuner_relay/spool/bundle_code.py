"""A bundle's code: its content address, and the files that hold it for HTTP.

Both are made in a worker process, and only when somebody asks for them.
"""

import os
from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from apptuner_relay.spool.bundle import IDENTITY, CodeFile, Digest, NoCode, NotNow
from apptuner_relay.spool.code.offload import Digestion
from apptuner_relay.wire.dictionary_transport import tag_of_dictionary


def _make_none(coding: str, base: CodeFile | None) -> Deferred[Path]:
    """The bundle's file has been given away."""
    return fail(NoCode("The bundle is no longer kept"))


class BundleCode:
    """The code of one bundle.

    :param path: the bundle's file.
    :param start_digest: begins to compute the content address of the bundle in that file.
    :param make: writes its code to a file, in one of `bundle.CODINGS`, or with a dictionary. Fails
        with `NoCode`.
    """

    def __init__(
        self,
        path: Path,
        start_digest: Callable[[Path], Digestion],
        make: Callable[[str, CodeFile | None], Deferred[Path]],
    ) -> None:
        self._path = path
        self._start_digest = start_digest
        self._make = make
        self._written = 0
        self._is_whole = False
        self._digesting: Digestion | None = None
        self._expected: Digest | None = None
        self._digest: Digest | NoCode | None = None
        self._digest_waiters: list[Deferred[Digest]] = []
        self._files: dict[str, Path] = {}
        self._file_waiters: dict[str, list[Deferred[Path]]] = {}

    def written(self, size: int, is_whole: bool) -> None:
        """The bundle's file has ``size`` bytes by now; ``is_whole`` says whether that is all."""
        self._written, self._is_whole = size, is_whole
        if is_whole and self._expected is not None:
            self._digest_is(self._expected)
        if self._digesting is not None:
            self._tell(self._digesting)

    def expect(self, digest: Digest, path: Path, own: Path) -> bool:
        """The bundle is written with this content address, which need not be computed.

        :param path: a file with its code. It is moved to ``own``, and goes with the bundle.
        :return: False where it couldn't be moved. Another one is made when it is needed.
        """
        self._expected = digest
        try:
            os.rename(path, own)
        except OSError:
            return False
        self._files[IDENTITY] = own
        return True

    @property
    def known_digest(self) -> Digest | None:
        """The content address, where somebody has asked for it before; no work is begun."""
        return self._digest if isinstance(self._digest, Digest) else None

    def digest(self) -> Deferred[Digest]:
        """See `bundle.Bundle`. Work on it begins when it is first asked for, as it costs several
        times what relaying does. The file of a bundle that grows is followed."""
        if isinstance(self._digest, Digest):
            return succeed(self._digest)
        if isinstance(self._digest, NoCode):
            return fail(self._digest)
        waiter: Deferred[Digest] = Deferred()
        self._digest_waiters.append(waiter)
        if self._digesting is None and self._expected is None:
            self._digesting = digesting = self._start_digest(self._path)
            digesting.result.addCallbacks(self._digested, self._digest_failed)
            self._tell(digesting)
        return waiter

    def file(self, coding: str, base: CodeFile | None = None) -> Deferred[Path]:
        """A file with the code. See `bundle.Bundle.code`."""
        key = coding if base is None else tag_of_dictionary(base.sha256)
        path = self._files.get(key)
        if path is not None:
            return succeed(path)
        waiter: Deferred[Path] = Deferred()
        waiters = self._file_waiters.setdefault(key, [])
        waiters.append(waiter)
        if len(waiters) == 1:
            self._make(coding, base).addBoth(self._made, key)
        return waiter

    def has_file(self, coding: str) -> bool:
        """Whether there is a file with the code."""
        return coding in self._files

    def fail(self, why: str) -> None:
        """Fail those who wait for the content address."""
        self._digest_is(NoCode(why))

    def give_away(self) -> list[Path]:
        """The bundle's file is given away: another bundle may be written over it soon. Returns the
        files with the code, which nobody needs any more either."""
        if self._digesting is not None:
            self._digesting.cancel()
        self.fail("The bundle is no longer kept")
        self._make = _make_none
        return list(self._files.values())

    def _tell(self, digesting: Digestion) -> None:
        digesting.written(self._written)
        if self._is_whole:
            digesting.finish()

    def _made(self, result: Path | Failure, key: str) -> None:
        if isinstance(result, Path):
            self._files[key] = result
        for waiter in self._file_waiters.pop(key):
            waiter.callback(result)

    def _digested(self, digest: Digest) -> None:
        self._digest_is(digest)

    def _digest_failed(self, failure: Failure) -> None:
        failure.trap(NoCode)
        assert isinstance(failure.value, NoCode)
        self._digesting = None
        self._digest_is(failure.value)

    def _digest_is(self, digest: Digest | NoCode) -> None:
        if self._digest is not None:
            return
        if not isinstance(digest, NotNow):
            self._digest = digest
        waiters, self._digest_waiters = self._digest_waiters, []
        for waiter in waiters:
            if isinstance(digest, Digest):
                waiter.callback(digest)
            else:
                waiter.errback(digest)
