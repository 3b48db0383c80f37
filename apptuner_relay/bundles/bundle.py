"""What can be done with a bundle that is kept, whoever keeps it. Interfaces only."""

from pathlib import Path
from typing import NamedTuple, Protocol

from twisted.internet.defer import Deferred

IDENTITY, GZIP, BROTLI, ZSTD = "identity", "gzip", "br", "zstd"
CODINGS = (IDENTITY, GZIP, BROTLI, ZSTD)
"""The content codings (RFC 9110 §8.4.1) in which a bundle's code can be had."""


class Digest(NamedTuple):
    """The content address of a bundle."""

    sha256: str
    """Hex SHA-256 of its ``code``, as UTF-8."""
    size: int
    """Bytes of its ``code``, as UTF-8."""


class NoCode(Exception):
    """There is no code to be had of a bundle; the text says why."""


class NotNow(NoCode):
    """There is none at the moment; asking again later may help."""


class Bundle(Protocol):
    """A complete bundle. Who reads of it between `retain` and `release` has its files until then,
    even if the store drops it meanwhile."""

    def digest(self) -> Deferred[Digest]:
        """Fires with its content address, at once where that is known. Fails with `NoCode`."""

    def code(self, coding: str) -> Deferred[Path]:
        """Fires with a file that holds its code in one of `CODINGS`; the same bytes whenever it is
        asked for. Fails with `NoCode`."""

    def retain(self) -> None:
        """Keep its files until `release`. Also counts as a use, which prolongs its life."""

    def release(self) -> None:
        """See `retain`."""


class Shelf(Protocol):
    """Where sessions' last bundles are found."""

    def latest(self, session_hash: str) -> Bundle | None:
        """The last complete bundle of a session (hex SHA-256 of its id), where there is one."""
