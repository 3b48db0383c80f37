"""txredisapi's protocols as this package uses them: without its pools, and authenticated by the
caller."""

from collections.abc import Callable
from typing import Any

import txredisapi
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from apptuner_relay.config.redis_url import Credentials
from apptuner_relay.support.socket_errors import cause


class _SignedIn:
    """What both kinds of connection have in common.

    Authentication is not left to txredisapi, whose factory stops for good when it fails.
    """

    why: Failure | None = None
    """Why the connection was lost, if it was."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._rest = b""
        self.gone: Deferred[None] = Deferred()
        """Fires when the connection has been lost."""

    def dataReceived(self, data: bytes, unpause: bool = False) -> None:
        """Parse replies (RESP2).

        txredisapi's own parser takes a turn of the reactor for every string, and copies everything
        behind it. After thousands of subscriptions that takes too long. It also goes on after the
        connection was lost.
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
        """The connection is open."""
        super().connectionMade()  # type: ignore[misc]
        for tune in ("setTcpNoDelay", "setTcpKeepAlive"):
            # A UNIX socket has neither.
            getattr(self.transport, tune, lambda on: None)(True)  # type: ignore[attr-defined]

    def connectionLost(self, why: Failure) -> None:
        """Every command that waits for a reply fails. They find the reason in ``why``.

        ``gone`` fires before that. Otherwise a caller that hears of its failure and asks again at
        once would use this connection.
        """
        self.why = why
        me: Any = self
        me.connected = 0
        self.gone.callback(None)
        super().connectionLost(why)  # type: ignore[misc]

    async def sign_in(self, credentials: Credentials | None, db: int = 0) -> None:
        """Authenticate, and select the database.

        :raises txredisapi.ResponseError: the server refuses.
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
    """A connection that receives what is published."""

    heard: Callable[[str, str], None] = staticmethod(lambda channel, text: None)

    def messageReceived(self, pattern: object, channel: object, message: object) -> None:
        """Pass on messages that are text. Those that aren't UTF-8 arrive as bytes."""
        if isinstance(channel, str) and isinstance(message, str):
            self.heard(channel, message)


class RespFactory(Factory):
    """Makes connections. Everything else here is what txredisapi's protocols expect of a
    factory."""

    noisy = False
    isLazy = False

    def __init__(self, kind: type[_SignedIn]) -> None:
        self._kind = kind

    def buildProtocol(self, addr: object) -> Any:
        """A connection whose replies are text, even where they look like numbers."""
        connection: Any = self._kind(charset="utf-8", errors="strict", convertNumbers=False)
        connection.factory = self
        return connection

    def addConnection(self, connection: object) -> None:
        """Nothing: there is no pool."""

    def delConnection(self, connection: object) -> None:
        """Nothing."""


def reason_of(failure: Failure) -> str:
    """Why something failed, in one line for the log."""
    error = cause(failure.value)
    if isinstance(error, SSL.Error) and error.args and isinstance(error.args[0], list):
        # What OpenSSL says: (library, function, reason) from the inside out.
        return "TLS: " + ", ".join(str(entry[-1]) for entry in error.args[0] or [("no reason",)])
    text = " ".join(str(error).split()) or type(error).__name__
    return "".join(char if char.isprintable() else "?" for char in text)[:300]
