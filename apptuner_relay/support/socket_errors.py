"""What goes wrong on a socket: the words for it, and whether it is about trust. Pure."""

from __future__ import annotations

from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.error import ConnectionDone, ConnectionLost


def is_untrusted(error: BaseException) -> bool:
    """Whether a connection failed because the server's certificate did not verify."""
    if isinstance(error, VerificationError):
        return True
    return isinstance(error, SSL.Error) and "certificate verify failed" in repr(error.args)


def describe(error: BaseException) -> str:
    """A connection's error in words: none where there is nothing to say but that it is gone."""
    if isinstance(error, ConnectionDone | ConnectionLost):
        return ""
    if isinstance(error, VerificationError):
        return "it is for another host"
    if isinstance(error, SSL.Error):
        reasons = [str(entry[-1]) for part in error.args for entry in part if entry]
        return "; ".join(reasons) or "TLS failed"
    return str(error).strip().rstrip(".") or type(error).__name__
