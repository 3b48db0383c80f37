"""The cookie that keeps a browser signed in to the status page. Pure.

Its value is ``{expires}-{HMAC-SHA256}``, with the HMAC of the expiry under the admin token. Nobody
can make it without the token, or learn the token from it. It outlives a restart of the relay, and
is void when the token changes.
"""

import hashlib
import hmac
import re

LIFETIME_S = 30 * 24 * 3600

_VALUE = re.compile(rb"([0-9]{1,12})-([0-9a-f]{64})")


def cookie_name(token: str) -> bytes:
    """A name for each token, as browsers send cookies to all ports of a host."""
    return b"apptuner_admin_" + _hmac(token, b"name")[:8]


def make_cookie(token: str, wall_s: float) -> bytes:
    """The value of a cookie that is valid for `LIFETIME_S` from ``wall_s`` on."""
    expires = b"%d" % (wall_s + LIFETIME_S)
    return expires + b"-" + _hmac(token, b"until " + expires)


def is_good(token: str, value: bytes, wall_s: float) -> bool:
    """Whether `make_cookie` made this value with this token, and it has not expired."""
    match = _VALUE.fullmatch(value)
    if match is None:
        return False
    expected = _hmac(token, b"until " + match[1])
    return hmac.compare_digest(match[2], expected) and wall_s < int(match[1])


def _hmac(token: str, what: bytes) -> bytes:
    key = token.encode("utf-8", "surrogateescape")
    return hmac.new(key, b"apptuner-relay admin " + what, hashlib.sha256).hexdigest().encode()
