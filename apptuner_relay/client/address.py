"""Where to connect and as whom: relay URLs, session ids, device ids, bundles' URLs. Pure.

Everything is checked here, before anything is sent, so that a typing mistake is a usage error
and not a refusal from a server.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode, urlsplit

DEFAULT_RELAY = "ws://127.0.0.1:3000"
RELAY_VARIABLE = "APPTUNER_RELAY"

MAX_NAME_CHARACTERS = 64

_SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DEVICE = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_URL = re.compile(r"[!-~]{1,4096}", re.ASCII)
_SCHEMES = {"ws": False, "http": False, "wss": True, "https": True}


@dataclass(frozen=True)
class Relay:
    """A relay's address."""

    secure: bool
    host: str
    port: int
    prefix: str = ""

    @classmethod
    def parse(cls, text: str) -> Relay:
        """Read `ws://`, `wss://`, `http://` or `https://` HOST[:PORT][/PREFIX].

        Raises `ValueError` with a text for the user.
        """
        parts = urlsplit(text)
        if parts.scheme not in _SCHEMES:
            raise ValueError(f"{text!r} does not start with ws://, wss://, http:// or https://")
        try:
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ValueError(f"{text!r}: {error}") from None
        if not host:
            raise ValueError(f"{text!r} names no host")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError(f"{text!r} has more than a host, a port and a path")
        secure = _SCHEMES[parts.scheme]
        if port is None:
            port = 443 if secure else 80
        return cls(secure, host, port, quote(parts.path.rstrip("/"), safe="/%"))

    @property
    def host_header(self) -> str:
        """The host as HTTP's Host header wants it, without the port."""
        return f"[{self.host}]" if ":" in self.host else self.host

    def __str__(self) -> str:
        scheme = "wss" if self.secure else "ws"
        return f"{scheme}://{self.host_header}:{self.port}{self.prefix}"

    def resource(self, role: str, session: str, query: Mapping[str, str] | None = None) -> str:
        """The path, and query string if any, of a session's socket."""
        path = f"{self.prefix}/{role}/{session}"
        return f"{path}?{urlencode(query, quote_via=quote)}" if query else path

    def bundle_url(self, session: str, sha256: str | None = None) -> str:
        """Where a session's last bundle is found over HTTP; that very bundle, with its SHA-256.

        Raises `ValueError` for a host whose name can't be sent.
        """
        return self.resolve(f"/bundles/{session}" + (f"/{sha256}" if sha256 else ""))

    def resolve(self, url: str) -> str:
        """The `http` or `https` URL that a relay means by an absolute URL, or by a path of its own.

        A path goes after the relay's own prefix, of which a relay behind a proxy knows nothing.
        Raises `ValueError`, with a text for the user, for what is no such URL, and for one that is
        not encrypted where the relay itself is.
        """
        if not _URL.fullmatch(url):
            raise ValueError("it has characters that are not allowed in a URL")
        parts = urlsplit(url)
        if not parts.scheme and not parts.netloc and parts.path.startswith("/"):
            return f"{self._origin}{self.prefix}{url}"
        scheme = parts.scheme or ("https" if self.secure else "http")
        if scheme not in _SCHEMES or not parts.hostname:
            raise ValueError("it is neither an http or https URL nor a path")
        if parts.username is not None:
            raise ValueError("it has a user name in it")
        if parts.port is not None and not parts.port:
            raise ValueError("it has no port that can be connected to")
        secure = _SCHEMES[scheme]
        if self.secure and not secure:
            raise ValueError("it is not encrypted, while the relay's own address is")
        return parts._replace(scheme="https" if secure else "http", fragment="").geturl()

    @property
    def _origin(self) -> str:
        host = (
            self.host_header.encode("idna").decode() if ":" not in self.host else self.host_header
        )
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}"


def session_id(text: str) -> str:
    """`text`, if it can be a session's id. Raises `ValueError` with a text for the user."""
    if not _SESSION.fullmatch(text):
        raise ValueError(
            f"{text!r} is no session id: it must be 1 to 64 letters, digits, '-' and '_'"
        )
    return text


def device_id(text: str) -> str:
    """`text`, if it can be a device's id. Raises `ValueError` with a text for the user."""
    if not _DEVICE.fullmatch(text):
        raise ValueError(
            f"{text!r} is no device id: 1 to 64 letters, digits, '.', '_', ':' and '-' make one"
        )
    return text


def device_name(text: str) -> str:
    """`text`, if it can be a device's name. Raises `ValueError` with a text for the user."""
    if not text.isprintable() or not 1 <= len(text) <= MAX_NAME_CHARACTERS:
        raise ValueError(
            f"a name has 1 to {MAX_NAME_CHARACTERS} characters and no control characters"
        )
    return text
