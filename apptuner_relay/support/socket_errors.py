"""What goes wrong on a socket: the words for it, and whether it is about trust. Pure."""

from __future__ import annotations

from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.error import ConnectError, ConnectionDone, ConnectionLost
from twisted.python.failure import Failure


def is_untrusted(error: BaseException) -> bool:
    """Whether a connection failed because the server's certificate did not verify."""
    if isinstance(error, VerificationError):
        return True
    return isinstance(error, SSL.Error) and "certificate verify failed" in repr(error.args)


def cause(error: BaseException | None) -> BaseException | None:
    """What an error of a connection is about. Of one that is lost before it is made, Twisted says
    so by an error that has the loss as its text: a whole failure, of several lines."""
    if isinstance(error, ConnectError) and error.args and isinstance(error.args[0], Failure):
        return error.args[0].value
    return error


def describe(error: BaseException | None) -> str:
    """A connection's error in words: none where there is nothing to say but that it is gone."""
    error = cause(error)
    if error is None or isinstance(error, ConnectionDone | ConnectionLost):
        return ""
    if isinstance(error, VerificationError):
        return "it is for another host"
    if isinstance(error, SSL.Error):
        reasons = [str(entry[-1]) for part in error.args for entry in part if entry]
        return "; ".join(reasons) or "TLS failed"
    if isinstance(error, ConnectError) and error.osError and error.args and error.args[0]:
        # The system's own words; Twisted puts a phrase and the number in front of them.
        return str(error.args[0])
    return str(error).strip().rstrip(".") or type(error).__name__
