"""A URL that names a session, in place of `--relay`, `--session` and `--token`. Pure.

It is what `share` prints and its QR code has, what a client connects to, where a bundle is over
HTTP, or the address of the session's page.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from apptuner_relay.access.tokens import check_secret, expiry_of
from apptuner_relay.client.address import Relay, session_id

_SOCKET = re.compile(r"(?P<prefix>.*)/(?:cli|dashboard|desktop|mobile)/(?P<session>[^/]*)/?")
_BUNDLE = re.compile(r"(?P<prefix>.*)/bundles/(?P<session>[^/]*)(?:/[0-9A-Fa-f]{64})?/?")
_PAGE = re.compile(r"(?P<prefix>.*)/s/?")
_MAX_FIELDS = 32
_PLURALS = {"relay": "relays", "session": "sessions", "token": "tokens", "key": "secrets"}
_MAX_CHARACTERS = 4096


@dataclass(frozen=True)
class SessionUrl:
    """What such a URL says."""

    relay: Relay
    session: str
    token: str | None = None
    """A join token."""
    key: str | None = None
    """The session's secret, which had better not be in a URL."""
    ignored: tuple[str, ...] = ()
    """The names of further fields of its query string."""

    @classmethod
    def parse(cls, text: str) -> SessionUrl:
        """Read one of

        - `ws://HOST[:PORT][/PREFIX]/ROLE/SESSION[?token=…&key=…]`, of any client's role,
        - `ws://HOST[:PORT][/PREFIX]/bundles/SESSION[/SHA256]`, likewise,
        - `http://HOST[:PORT][/PREFIX]/s#SESSION`.

        ws, http, wss and https are all good. Raises `ValueError` with a text for the user, in which
        there is no token and no secret.
        """
        if len(text) > _MAX_CHARACTERS:
            raise ValueError(f"it is longer than {_MAX_CHARACTERS:,} characters")
        try:
            parts = urlsplit(text)
        except ValueError as error:
            raise ValueError(f"it is no URL: {error}") from None
        shown = text.partition("?")[0].partition("#")[0]
        if not parts.scheme or not text.lower().startswith(f"{parts.scheme}://"):
            raise ValueError(f"{shown!r} does not start with ws://, wss://, http:// or https://")
        place = f"{parts.scheme}://{parts.netloc}"
        page = _PAGE.fullmatch(parts.path) if parts.fragment else None
        found = page or _SOCKET.fullmatch(parts.path) or _BUNDLE.fullmatch(parts.path)
        if found is None or (parts.fragment and page is None):
            Relay.parse(place)
            raise ValueError(
                f"{shown!r} names no session: ws://HOST/mobile/ID?token=TOKEN does, as do the "
                "addresses of other clients, of bundles, and of the session's page"
            )
        relay = Relay.parse(place + found["prefix"])
        session = session_id(parts.fragment if page else found["session"])
        fields = _fields(parts.query)
        token, key = fields.pop("token", None), fields.pop("key", None)
        if token is not None and expiry_of(token) is None:
            raise ValueError("the URL's token is no join token: it may be cut short")
        try:
            key = None if key is None else check_secret(key)
        except ValueError as error:
            raise ValueError(f"the URL's key: {error}") from None
        return cls(relay, session, token, key, tuple(fields))


def locate(arguments: argparse.Namespace, rest: list[str]) -> None:
    """Put what a command line's URL says where its options would have put it.

    What there is to note about it goes into `url_notes`. `rest` is what was left over: argparse of
    Python 3.11 leaves an optional argument there that stands behind an option and another argument.
    Raises `ValueError` with a text for the user.
    """
    arguments.url_notes = notes = []
    if arguments.url is None and rest and not rest[0].startswith("-"):
        try:
            arguments.url = SessionUrl.parse(rest[0])
        except ValueError as error:
            raise ValueError(f"argument URL: {error}") from None
        del rest[0]
    url: SessionUrl | None = arguments.url
    if url is None:
        if arguments.session is None and arguments.needs_session:
            raise ValueError("the following arguments are required: --session, or a URL with it")
        return
    said = {"relay": url.relay, "session": url.session, "token": url.token, "key": url.key}
    given = getattr(arguments, "given", ())
    for name, value in said.items():
        if value is None:
            continue
        if not hasattr(arguments, name):
            notes.append(f"the URL's {name} is left out: this command has no use for one")
        elif name in given and getattr(arguments, name) != value:
            raise ValueError(f"--{name} and the URL name different {_PLURALS[name]}: give one")
        else:
            setattr(arguments, name, value)
    if url.token is None and url.key is not None and "token" not in given:
        # A token of the environment would be shown in its place.
        arguments.token = None
    if url.key is not None:
        notes.append("others on this machine can see the URL's secret: --key @FILE is safer")
    if url.ignored:
        names = ", ".join(sorted(url.ignored))
        notes.append(f"left out of the URL, as this command has options for it: {names}")


def _fields(query: str) -> dict[str, str]:
    """A query string's fields, each of which may be there once."""
    # Secrets have no spaces, and those in base64 have +, which not everybody escapes.
    query = query.replace("+", "%2B")
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS
        )
    except ValueError:
        # What it says has the field in it, which may be a secret.
        raise ValueError("the URL's query string can't be read") from None
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("the URL says the same thing twice")
    return fields
