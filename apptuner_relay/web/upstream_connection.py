"""Connections to the programs that requests are forwarded to.

Such a program may answer before it has the whole body, as with 413, and end the connection. Its
system resets the connection then, as part of the body is unread. Twisted's transport ends as soon
as it can't write any more; this one reads first what has arrived.
"""

from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IConnector

from apptuner_relay.support.private_names.of_twisted import TCPConnector

_MOST_READS = 16
"""How many pieces (64 KiB each) are read of a connection that can't be written to any more."""


class UpstreamTransport(tcp.Client):
    """A connection that is read to its end where it can't be written to."""

    def doWrite(self) -> Any:
        """See `IWriteDescriptor`."""
        lost = super().doWrite()
        if lost is not None:
            for _ in range(_MOST_READS):
                if self.disconnecting or self.doRead() is not None:
                    break
        return lost


class UpstreamConnector(TCPConnector):
    """Opens an `UpstreamTransport`."""

    transport_class = UpstreamTransport


class UpstreamReactor:
    """The reactor that an `Agent` connects with: in all but that it is another one.

    :param reactor: that other one.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: Any,
        timeout: float = 30.0,
        bindAddress: Any = None,
    ) -> IConnector:
        """See `IReactorTCP`."""
        connector = UpstreamConnector(host, port, factory, timeout, bindAddress, self._reactor)
        connector.connect()
        return connector
