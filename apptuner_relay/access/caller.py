"""What a client shows of itself when it connects: its address, its web page's origin, a secret, a
join token. Pure.
"""

import re
from dataclasses import dataclass
from urllib.parse import parse_qs

from apptuner_relay.access.tokens import check_secret, expiry_of
from apptuner_relay.session.session import BadRequest

_BEARER = re.compile(r"bearer +(\S+)\s*", re.IGNORECASE)
_QUERY_FIELDS = 32


@dataclass(frozen=True)
class Caller:
    """A client that connects. Secret and token are not in its ``repr``, which may get into a
    log."""

    address: str | None = None
    """See `TrustedProxies.client`."""
    origin: str | None = None
    secret: str | None = None
    token: str | None = None
    wants_tokens: bool = False
    """Whether phones have to show a join token from now on."""

    def __repr__(self) -> str:
        return f"Caller({self.address!r})"


def read_caller(
    address: str | None, origin: str | None, authorization: str | None, query: str
) -> Caller:
    """Read ``Authorization: Bearer`` (RFC 6750 §2.1), which holds a secret or a join token, and the
    query's ``key``, ``token`` and ``tokens``. The header goes before the query; a header of another
    scheme is for a proxy, and ignored.

    :raises BadRequest: 400, for a malformed secret, or too many fields.
    """
    if not query and authorization is None:
        return Caller(address, origin)
    try:
        fields = parse_qs(query, max_num_fields=_QUERY_FIELDS)
    except ValueError:
        raise BadRequest(400, f"Bad query string: more than {_QUERY_FIELDS} fields") from None
    secret, token = (fields.get(name, [None])[0] for name in ("key", "token"))
    if authorization is not None:
        match = _BEARER.fullmatch(authorization.strip())
        if match is not None and expiry_of(match[1]) is not None:
            token = match[1]
        elif match is not None:
            secret = match[1]
    if secret is not None:
        try:
            check_secret(secret)
        except ValueError as wrong:
            raise BadRequest(400, f"Bad key: {wrong}") from None
    return Caller(address, origin, secret, token, fields.get("tokens", [""])[0] == "1")
