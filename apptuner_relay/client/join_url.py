"""The URL with which a phone joins a session, as text and as a QR code."""

from __future__ import annotations

import io

from apptuner_relay.access.tokens import sign_token
from apptuner_relay.client.address import Relay
from apptuner_relay.session.session import session_hash

_BORDER_MODULES = 2
_WHITE_ON_BLACK, _PLAIN = "\x1b[38;5;231;48;5;16m", "\x1b[0m"


def join_url(relay: Relay, session: str, token: str | None = None) -> str:
    """Where a phone connects to, with its join token if it needs one."""
    place = str(relay).removesuffix(relay.prefix)
    query = {} if token is None else {"token": token}
    return place + relay.resource("mobile", session, query)


def join_token(key: str, session: str, expires_s: float) -> str:
    """A join token, signed with the session's secret, good until that time of day."""
    return sign_token(key, session_hash(session), expires_s)


def qr_code(text: str) -> str:
    """A QR code in half blocks, in colours of its own: a terminal may be light or dark."""
    # Not imported before it is needed, as it takes long.
    import segno

    out = io.StringIO()
    segno.make(text, error="l", micro=False).terminal(out, border=_BORDER_MODULES, compact=True)
    return "\n".join(f"{_WHITE_ON_BLACK}{line}{_PLAIN}" for line in out.getvalue().splitlines())
