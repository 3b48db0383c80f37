"""txredisapi's protocols as this package uses them: signed in by us, without its pools."""

from collections.abc import Callable
from typing import Any

import txredisapi
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from apptuner_relay.cluster.redis_url import Credentials


class _SignedIn:
    """What both kinds of connection have.

    Signing in is not left to txredisapi, whose factory stops for good when it fails.
    """

    why: Failure | None = None
    """Why the connection was lost, if it was."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._rest = b""
        self.gone: Deferred[None] = Deferred()
        """Fires when the connection has been lost."""

    def dataReceived(self, data: bytes, unpause: bool = False) -> None:
        """Take the replies apart (RESP2).

        txredisapi's own way takes a turn of the reactor for every string and copies all that is
        behind it, which after thousands of subscriptions is too much; and it goes on after the
        connection has gone.
        """
        me: Any = self
        buffer, at = self._rest + data, 0
        self._rest = b""
        while me.connected:
            if me.line_mode:
                end = buffer.find(b"\r\n", at)
                if end < 0:
                    break
                line, at = buffer[at:end], end + 2
                # Calls setRawMode, with the length and that of the line's end, before a string.
                me.lineReceived(line.decode("utf-8", "replace"))
            else:
                end = at + me.bulk_length
                if len(buffer) < end:
                    break
                text, at = buffer[at : end - 2], end
                me.bulk_length, me.line_mode = 0, 1
                me.bulkDataReceived(text)
        self._rest = buffer[at:]

    def connectionMade(self) -> None:
        """It is ours to use."""
        super().connectionMade()  # type: ignore[misc]
        for tune in ("setTcpNoDelay", "setTcpKeepAlive"):
            # A UNIX socket has neither.
            getattr(self.transport, tune, lambda on: None)(True)  # type: ignore[attr-defined]

    def connectionLost(self, why: Failure) -> None:
        """All that waits for a reply fails; ``why`` is remembered for them.

        Before that whoever keeps the connection hears that it has gone: else who hears of a reply
        that won't come, and asks again at once, would ask here.
        """
        self.why = why
        me: Any = self
        me.connected = 0
        self.gone.callback(None)
        super().connectionLost(why)  # type: ignore[misc]

    async def sign_in(self, credentials: Credentials | None, db: int = 0) -> None:
        """Make sure that commands will be taken.

        :raises txredisapi.ResponseError: they won't.
        :raises txredisapi.ConnectionError: the connection was lost; see ``why``.
        """
        me: Any = self
        if credentials is not None:
            # auth() of txredisapi 1.4 takes no user.
            user = [credentials.user] if credentials.user else []
            await me.execute_command("AUTH", *user, credentials.password)
        await me.ping()
        if db:
            await me.execute_command("SELECT", db)


class Commands(_SignedIn, txredisapi.RedisProtocol):  # type: ignore[misc]
    """A connection for commands."""


class Subscriber(_SignedIn, txredisapi.SubscriberProtocol):  # type: ignore[misc]
    """A connection that hears what is published."""

    heard: Callable[[str, str], None] = staticmethod(lambda channel, text: None)

    def messageReceived(self, pattern: object, channel: object, message: object) -> None:
        """Pass on what is text: bytes were no UTF-8."""
        if isinstance(channel, str) and isinstance(message, str):
            self.heard(channel, message)


class RespFactory(Factory):
    """Makes connections. The rest is what txredisapi's protocols ask of theirs."""

    noisy = False
    isLazy = False

    def __init__(self, kind: type[_SignedIn]) -> None:
        self._kind = kind

    def buildProtocol(self, addr: object) -> Any:
        """A connection whose replies are text: nothing becomes a number for looking like one."""
        connection: Any = self._kind(charset="utf-8", errors="strict", convertNumbers=False)
        connection.factory = self
        return connection

    def addConnection(self, connection: object) -> None:
        """Nothing: there is no pool."""

    def delConnection(self, connection: object) -> None:
        """Nothing."""


def reason_of(failure: Failure) -> str:
    """One line on why something failed, for a log."""
    error = failure.value
    if isinstance(error, SSL.Error) and error.args and isinstance(error.args[0], list):
        # What OpenSSL says: (library, function, reason) from the inside out.
        return "TLS: " + ", ".join(str(entry[-1]) for entry in error.args[0] or [("no reason",)])
    text = " ".join(str(error).split()) or type(error).__name__
    return "".join(char if char.isprintable() else "?" for char in text)[:300]
