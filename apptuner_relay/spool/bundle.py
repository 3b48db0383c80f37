"""What readers can do with a cached bundle, on this relay or another one. Interfaces only."""

from pathlib import Path
from typing import NamedTuple, Protocol

from twisted.internet.defer import Deferred

from apptuner_relay.flow.series import Series

IDENTITY, GZIP, BROTLI, ZSTD = "identity", "gzip", "br", "zstd"
CODINGS = (IDENTITY, GZIP, BROTLI, ZSTD)
"""The content codings (RFC 9110 §8.4.1) in which a bundle's code is served."""


class Digest(NamedTuple):
    """The content address of a bundle."""

    sha256: str
    """Hex SHA-256 of its ``code``, as UTF-8."""
    size: int
    """Bytes of its ``code``, as UTF-8."""
    units: int
    """UTF-16 code units of its ``code``: what JavaScript has as its length."""


class StoredForm(NamedTuple):
    """What the sender said of a bundle when it began."""

    series: Series
    size: int | None
    """The size of its first message's payload in bytes, where that is known."""
    began_ms: int
    """When it began, in milliseconds since the epoch."""


class CodeFile(NamedTuple):
    """A file with a bundle's code. It has to stay until what is asked about it is answered."""

    path: Path
    sha256: str
    """Of the code, in hex."""


class NoCode(Exception):
    """The code of a bundle can't be read; the text says why."""


class NotNow(NoCode):
    """The code of a bundle can't be read now. A later attempt may succeed."""


class Bundle(Protocol):
    """A bundle, which may be on its way still. Its files stay from `retain` to `release`, even if
    the store drops the bundle in between."""

    def digest(self) -> Deferred[Digest]:
        """Fires with its content address when all of it is in its file; at once where that is
        known. Fails with `NoCode`, also when the bundle is cut short."""

    def code(self, coding: str, base: CodeFile | None = None) -> Deferred[Path]:
        """Fires with a file that holds its code in one of `CODINGS`, or in ``dcz`` with ``base`` as
        its dictionary. Its bytes are always the same. To be asked for when its content address is
        known. Fails with `NoCode`."""

    def retain(self) -> None:
        """Keep its files until `release`. It also counts as a use, which prolongs its lifetime."""

    def release(self) -> None:
        """See `retain`."""


class BundleCache(Protocol):
    """Where sessions' cached bundles are found."""

    @property
    def off(self) -> str | None:
        """Why no new bundle is cached; None while they are."""

    def latest(self, session_hash: str) -> Bundle | None:
        """The last bundle of a session (hex SHA-256 of its id) of which all has come from its
        sender, though the disk may not have all of it. Where there is none, the one that is
        arriving, if any."""

    def lend(self, bundle: Bundle) -> None:
        """A client gets its code as a dictionary: keep it as a `base` for the next one."""

    async def base(self, session_hash: str, sha256: str) -> Bundle | None:
        """The bundle of a session whose code has this hex SHA-256, where it is kept: it is the last
        one, or one before. It is retained, and to be released by the caller."""
