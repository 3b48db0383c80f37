"""Bundles over files of a test's own: what `apptuner_relay.spool.bundle` asks of a store."""

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import brotli
import zstandard
from twisted.internet.defer import Deferred, succeed

from apptuner_relay.session.session import session_hash
from apptuner_relay.spool.bundle import BROTLI, GZIP, IDENTITY, ZSTD, Bundle, CodeFile, Digest
from apptuner_relay.spool.code.dictionary_coding import DictionaryEncoder
from apptuner_relay.spool.previous_bundles import find_base
from apptuner_relay.wire.dictionary_transport import tag_of_dictionary

ENCODE: dict[str, Callable[[bytes], bytes]] = {
    IDENTITY: bytes,
    GZIP: lambda code: gzip.compress(code, 1, mtime=0),
    BROTLI: lambda code: bytes(brotli.compress(code, quality=1)),
    ZSTD: lambda code: zstandard.compress(code, 1),
}
DECODE: dict[str, Callable[[bytes], bytes]] = {
    IDENTITY: bytes,
    GZIP: gzip.decompress,
    BROTLI: lambda data: bytes(brotli.decompress(data)),
    ZSTD: lambda data: zstandard.decompress(data),
}


class FileBundle:
    """A bundle whose files are made when they are asked for. Counts what is done with it."""

    def __init__(self, directory: Path, code: bytes) -> None:
        self.sha256 = hashlib.sha256(code).hexdigest()
        self.size = len(code)
        self.users = 0
        self.uses = 0
        self.asked: list[str] = []
        """The codings that were asked for."""
        self.digest_result: Deferred[Digest] = succeed(Digest(self.sha256, self.size, self.size))
        self.code_result: Deferred[Path] | None = None
        """What `code` answers instead."""
        self.delta_result: Deferred[Path] | None = None
        """Likewise where it is asked for with a dictionary."""
        self.in_use: Deferred[None] = Deferred()
        """Fires when it is used for the first time."""
        self._code = code
        self._directory = directory
        self._waiting: list[Deferred[None]] = []

    def form(self, coding: str) -> bytes:
        return ENCODE[coding](self._code)

    def file(self, coding: str) -> Path:
        return self._directory / f"{self.sha256}-{coding}"

    def digest(self) -> Deferred[Digest]:
        assert self.users
        return self.digest_result

    def code(self, coding: str, base: CodeFile | None = None) -> Deferred[Path]:
        assert self.users
        self.asked.append(coding)
        if base is not None:
            return self._code_from(base)
        if self.code_result is not None:
            return self.code_result
        path = self.file(coding)
        if not path.exists():
            path.write_bytes(self.form(coding))
        return succeed(path)

    def _code_from(self, base: CodeFile) -> Deferred[Path]:
        if self.delta_result is not None:
            return self.delta_result
        encoder = DictionaryEncoder(base.path.read_bytes(), base.sha256, self.size)
        path = self.file(tag_of_dictionary(base.sha256))
        path.write_bytes(encoder.feed(self._code) + encoder.finish())
        return succeed(path)

    def retain(self) -> None:
        self.users += 1
        self.uses += 1
        if self.uses == 1:
            self.in_use.callback(None)

    def release(self) -> None:
        assert self.users, "released more often than retained"
        self.users -= 1
        if not self.users:
            waiting, self._waiting = self._waiting, []
            for waiter in waiting:
                waiter.callback(None)

    def unused(self) -> Deferred[None]:
        """Fires when nobody reads of it."""
        if not self.users:
            return succeed(None)
        self._waiting.append(Deferred())
        return self._waiting[-1]


class DictBundleCache:
    """Bundles by session id."""

    off: str | None = None

    def __init__(self, **bundles: Bundle) -> None:
        self.bundles = {session_hash(name): bundle for name, bundle in bundles.items()}
        self.previous: list[Bundle] = []
        """The bundles before the last one of any session."""
        self.lent: list[Bundle] = []

    def latest(self, session_hash: str) -> Bundle | None:
        return self.bundles.get(session_hash)

    def lend(self, bundle: Bundle) -> None:
        self.lent.append(bundle)

    async def base(self, session_hash: str, sha256: str) -> Bundle | None:
        return await find_base((self.latest(session_hash), *self.previous), sha256)
