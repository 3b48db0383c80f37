"""What the relay uses of Twisted beyond its documentation, TLS apart (`of_twisted_tls`)."""

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.logger import ILogObserver, LogEvent, Logger
from twisted.python import log
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from zope.interface import implementer

_MOST_EVENTS = 64
"""How many sockets are seen to before what else is due has its turn: thousands of clients that
vanish at once would keep it waiting for seconds. Linux hands out those that wait in turn."""

# Twisted: TCP and UNIX sockets


class BufferedConnection(tcp.Connection):
    """A TCP connection, with what Twisted keeps of what was written."""

    @property
    def has_buffered(self) -> bool:
        """Whether anything that was written waits for the kernel to take it."""
        return bool(self.dataBuffer or self._tempDataBuffer)

    def wait_for_room(self) -> None:
        """Have `give_room` called from ``doWrite`` once the kernel takes more."""
        self.producerPaused = True
        self.startWriting()

    def give_room(self) -> None:
        """Resume the producer, and wait no more if it has nothing more to write."""
        self.producerPaused = False
        self.producer.resumeProducing()  # type: ignore[union-attr]
        if not self.producerPaused and not self.has_buffered:
            self.stopWriting()


def read_directly(reactor: Any) -> None:
    """Have an epoll reactor read from a `BufferedConnection` without more ado, and poll again at
    once where nothing else is due. Both are a part of what a small message costs that comes alone.

    Twisted's own loop first makes a context for each event, with the connection's name for
    ``twisted.python.log``, which no line of ours has, and sees to all sockets that are ready before
    it looks at the clock. Any other event is handled as ever. Other reactors stay as they are.
    """
    try:
        from select import EPOLLIN

        from twisted.internet.epollreactor import EPollReactor
    except ImportError:
        # The system is not Linux.
        return
    if not isinstance(reactor, EPollReactor):
        return
    poll: Callable[[float, int], list[tuple[int, int]]] = reactor._poller.poll
    selectables: dict[int, Any] = reactor._selectables

    def poll_until_due(timeout_s: float | None) -> None:
        while True:
            for fd, event in poll(-1 if timeout_s is None else timeout_s, _MOST_EVENTS):
                selectable = selectables.get(fd)
                if event == EPOLLIN and isinstance(selectable, BufferedConnection):
                    why: BaseException | None
                    try:
                        why = selectable.doRead()
                    except BaseException as wrong:
                        log.err()
                        why = wrong
                    if why:
                        # One whose end fails is no reason to leave the others of this turn out.
                        disconnect = reactor._disconnectSelectable
                        log.callWithLogger(selectable, disconnect, selectable, why, True)
                elif selectable is not None:
                    log.callWithLogger(selectable, reactor._doReadOrWrite, selectable, fd, event)
            if reactor.threadCallQueue or reactor._justStopped or not reactor.running:
                return
            timeout_s = reactor.timeout()
            if timeout_s == 0:
                return

    reactor.doIteration = poll_until_due  # type: ignore[method-assign]


class TCPConnector(tcp.Connector):
    """Opens a TCP connection by a transport of our choice."""

    transport_class: type[tcp.Client]
    """Makes the transport, which connects by itself."""

    def _makeTransport(self) -> tcp.Client:
        return self.transport_class(self.host, self.port, self.bindAddress, self, self.reactor)


def set_transport(port: tcp.Port, transport: type[tcp.Server]) -> None:
    """Have ``port`` make its connections ``transport``."""
    port.transport = transport


def accept_few(port: tcp.Port, most: int) -> None:
    """Have ``port`` accept no more than ``most`` connections in a turn of the reactor. Twisted
    accepts 20 more each time that as many were waiting as it accepts."""
    accept = port.doRead

    def accept_a_few() -> None:
        port.numberAccepts = min(port.numberAccepts, most)
        accept()

    port.doRead = accept_a_few  # type: ignore[method-assign]


class SharedUNIXPort(unix.Port):
    """Listens on a UNIX socket that other processes hold, too. Twisted's own port would change the
    mode of its file, shorten its queue, and at the end remove the file and shut the socket down for
    all.

    :param held: the socket; it is listening already.
    """

    _shouldShutdown = False

    def __init__(self, held: socket.socket, factory: IProtocolFactory, reactor: Any) -> None:
        super().__init__(held.getsockname() or b"", factory, reactor=reactor)
        self._held = held

    def startListening(self) -> None:
        """See `IListeningPort`."""
        assert self.factory is not None
        self.factory.doStart()
        self.connected = True
        self.socket = self._held
        self.fileno = self.socket.fileno  # type: ignore[method-assign]
        self.numberAccepts = 100
        self.startReading()

    def connectionLost(self, reason: Failure) -> None:
        """See `IReadDescriptor`."""
        tcp.Port.connectionLost(self, reason)


# Twisted: HTTP


@implementer(ILogObserver)
class _NoObserver:
    def __call__(self, event: LogEvent) -> None: ...


class QuietChannel(HTTPChannel):
    """The server's side of an HTTP connection. Twisted's own channel logs each idle connection that
    it ends: clients that open many could fill the disk."""

    _log = Logger(observer=_NoObserver())

    def may_ask_for_body(self) -> bool:
        """Whether a client that has sent ``Expect: 100-continue`` is asked for the body."""
        return True

    @property
    def request_line(self) -> tuple[bytes, bytes, bytes]:
        """Method, target and version of a request whose body is still to be received."""
        return self._command, self._path, self._version

    @property
    def is_handling_request(self) -> bool:
        """Whether a request was received that is not answered yet."""
        return bool(self._handlingRequest)

    def forget_body(self) -> None:
        """Read no more of a body that has begun: the connection has ended."""
        self._transferDecoder = None

    def ask_for_body(self) -> None:
        """Ask a client for the body that has sent ``Expect: 100-continue``."""
        super()._send100Continue()

    def _send100Continue(self) -> None:
        if self.may_ask_for_body():
            super()._send100Continue()


# These take objects of twisted.web.client, a good deal of code that most relays needn't hold.


def wrap_pool_factory(pool: Any, wrap: Callable[[Any], Any]) -> None:
    """Have ``wrap`` change each of the protocol factories that an `HTTPConnectionPool` makes."""
    make = pool._factory
    pool._factory = lambda *arguments: wrap(make(*arguments))


def request_target(
    agent: Any, uri: Any, method: bytes, target: bytes, headers: Any, body: Any
) -> Deferred[Any]:
    """Send a request for exactly ``target`` to the origin of ``uri``. An `Agent`'s own ``request``
    reads a URL and writes it anew, without an empty query."""
    response: Deferred[Any] = agent._requestWithEndpoint(
        (uri.scheme, uri.host, uri.port),
        agent._getEndpoint(uri),
        method,
        uri,
        headers,
        body,
        target,
    )
    return response
