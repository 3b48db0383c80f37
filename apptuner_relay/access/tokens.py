"""A session's secret, and what is made of it: its proof, and join tokens. Pure.

HKDF (RFC 5869) makes the seed of an Ed25519 key (RFC 8032) of the secret, with the session's hash
as the salt: the same secret gives another key in each session. A client that claims a session shows
the secret; the relay keeps the public key, the *proof*, and compares. The holder of the secret
signs join tokens without asking the relay, and the relay checks them with the proof alone. So
whoever steals what a relay or its Redis keeps can neither join as the CLI nor make a token.

This is fast on purpose. A slow hash protects secrets that people make up, at the price of a server
that anybody can keep busy. A secret here is made by a program and kept in a file; `check_secret`
asks for at least 16 characters, which at random are 95 bits: too many to try, however fast. Guesses
at the relay itself are counted, as those at session ids are.

A token is ``EXPIRY.SIGNATURE``: seconds since the epoch in hex, and the base64url of a signature of
the expiry and the session.
"""

import base64
import hmac
import re
from types import ModuleType

TOKEN_LASTS_S = 8 * 3600
"""How long a join token is good, where nothing else is asked for."""
_SECRET = re.compile(r"[!-~]{16,256}")
_TOKEN = re.compile(r"([0-9a-f]{1,12})\.([A-Za-z0-9_-]{86})")
_TOKEN_PURPOSE = b"apptuner join token"


class BadToken(ValueError):
    """A token is refused. ``expired`` is whether it was good once, so that a new one helps."""

    def __init__(self, text: str, expired: bool = False) -> None:
        super().__init__(text)
        self.expired = expired


def check_secret(secret: str) -> str:
    """Check the form of a session's secret, and return it.

    :raises ValueError: the form is wrong; the text doesn't show the secret.
    """
    if not _SECRET.fullmatch(secret):
        raise ValueError("a session's secret is 16 to 256 visible ASCII characters without spaces")
    return secret


def make_proof(secret: str, session_hash: str) -> str:
    """The proof of a session's secret, which a relay keeps."""
    return _encode(_session_keys().public_key(secret, session_hash))


def is_proven(proof: str, secret: str, session_hash: str) -> bool:
    """Whether ``secret`` is the one of which ``proof`` was made."""
    return hmac.compare_digest(make_proof(secret, session_hash), proof)


def sign_token(secret: str, session_hash: str, expires_s: float) -> str:
    """A join token that is good until ``expires_s`` (seconds since the epoch)."""
    expiry = f"{int(expires_s):x}"
    signature = _session_keys().sign(secret, session_hash, _signed(session_hash, expiry))
    return f"{expiry}.{_encode(signature)}"


def check_token(proof: str, token: str, session_hash: str, now_s: float) -> None:
    """Check that a token was signed with the secret of which ``proof`` was made, and hasn't
    expired.

    :raises BadToken: it was not, or has; the text is for the client that has shown it.
    """
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise BadToken("That is no join token")
    signed = _signed(session_hash, match[1])
    if not _session_keys().is_signed(_decode(proof), _decode(match[2]), signed):
        raise BadToken("The join token is not of this session, or not of its secret")
    if now_s >= int(match[1], 16):
        raise BadToken("The join token has expired: ask for a new one", expired=True)


def expiry_of(token: str) -> int | None:
    """The expiry in a token, in seconds since the epoch; None for a text that is no token."""
    match = _TOKEN.fullmatch(token)
    return int(match[1], 16) if match else None


def _session_keys() -> ModuleType:
    """What calculates. The first session with a secret loads it: 6 ms once, and 7 MiB that a relay
    without one does without."""
    from apptuner_relay.access import session_keys

    return session_keys


def _signed(session_hash: str, expiry: str) -> bytes:
    return b"\n".join((_TOKEN_PURPOSE, session_hash.encode(), expiry.encode()))


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
