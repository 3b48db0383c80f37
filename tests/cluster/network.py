"""A network in memory: connections that can be cut, delayed and reordered by a `task.Clock`.

Bytes of one connection arrive in the order in which they were sent, as TCP has it. Those of two
connections overtake each other where their delays differ. Between two hosts that are parted
everything waits, as TCP sends it again, until they are joined or somebody gives up. Nothing arrives
before the clock is advanced, be it by nothing.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

KERNEL_BYTES = 64 * 1024
"""How much may be on its way in one direction before the sender's producer is paused."""

Tamper = Callable[["Wire", bytes], bytes]
"""What becomes of bytes as they arrive; it may cut the connection as well."""


class Lane:
    """One direction: calls that happen in turn, each when its time has come, unless something is in
    the way.

    :param is_blocked: whether nothing gets through now; call `poke` when that changes.
    """

    def __init__(
        self, clock: Clock, delay_s: Callable[[], float], is_blocked: Callable[[], bool]
    ) -> None:
        self._clock, self._delay_s, self._is_blocked = clock, delay_s, is_blocked
        self._queue: deque[tuple[float, Callable[[], None]]] = deque()
        self._timer: IDelayedCall | None = None

    def put(self, call: Callable[[], None]) -> None:
        """Add a call, which happens behind those before it."""
        at_s = self._clock.seconds() + self._delay_s()
        if self._queue:
            at_s = max(at_s, self._queue[-1][0])
        self._queue.append((at_s, call))
        self.poke()

    def poke(self) -> None:
        """Go on if nothing is in the way any more."""
        if self._queue and self._timer is None and not self._is_blocked():
            wait_s = max(0.0, self._queue[0][0] - self._clock.seconds())
            self._timer = self._clock.callLater(wait_s, self._arrived)

    def clear(self) -> None:
        """Drop everything that is on its way."""
        self._queue.clear()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _arrived(self) -> None:
        self._timer = None
        if self._queue and not self._is_blocked():
            _, call = self._queue.popleft()
            call()
        self.poke()


class End(StringTransport):
    """One host's end of a connection: the transport of its protocol."""

    def __init__(self, wire: "Wire", protocol: Any) -> None:
        super().__init__()
        self.protocol = protocol
        self.is_over = False
        """Whether its protocol knows that the connection has gone."""
        self.other: End
        self.lane = Lane(wire.network.clock, lambda: wire.delay_s, self._is_blocked)
        """What it sends."""
        self._wire = wire
        self._unsent = 0
        self._has_paused = False

    def _is_blocked(self) -> bool:
        return self._wire.is_blocked or self.other.producerState == "paused"

    def _checkState(self) -> None:
        # Unlike Twisted's for tests, a real transport may be paused while it is closed.
        return

    def write(self, data: bytes) -> None:
        if data and not (self.is_over or self.disconnecting):
            self._unsent += len(data)
            self.lane.put(lambda: self._deliver(data))
            if self._unsent > KERNEL_BYTES and self.producer is not None and not self._has_paused:
                self._has_paused = True
                self.producer.pauseProducing()

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        if not self.disconnecting:
            self.disconnecting = True
            self.lane.put(self._finish)
            self._clock.callLater(0, self._close_if_sent)

    def abortConnection(self) -> None:
        if not self.is_over:
            self.disconnected = self.disconnecting = True
            self.lane.clear()
            self.lane.put(self._reset)
            self._clock.callLater(0, self.lose, ConnectionLost())

    def resumeProducing(self) -> None:
        super().resumeProducing()
        self.other.lane.poke()

    def unregisterProducer(self) -> None:
        # Unlike Twisted's for tests, a real transport needs none to be there.
        if self.producer is not None:
            super().unregisterProducer()
        self._has_paused = False

    def lose(self, why: Exception) -> None:
        """The protocol hears that the connection has gone."""
        if not self.is_over:
            self.is_over = True
            self.protocol.connectionLost(Failure(why))

    @property
    def _clock(self) -> Clock:
        return self._wire.network.clock

    def _deliver(self, data: bytes) -> None:
        self._unsent -= len(data)
        if self.other.is_over or self.other.disconnecting:
            # Nobody reads that any more, and the kernel over there says so.
            self.other.lane.put(self.other._reset)
            return
        data = self._wire.network.tamper(self._wire, data)
        if data and not self.other.is_over:
            self.other.protocol.dataReceived(data)
        self._close_if_sent()
        if self._has_paused and self._unsent <= KERNEL_BYTES and self.producer is not None:
            self._has_paused = False
            self.producer.resumeProducing()

    def _close_if_sent(self) -> None:
        """What the kernel has it sends by itself."""
        if self.disconnecting and self._unsent <= KERNEL_BYTES:
            self.lose(ConnectionDone())

    def _finish(self) -> None:
        self.other.lose(ConnectionDone())

    def _reset(self) -> None:
        self.other.lane.clear()
        self.other.lose(ConnectionLost())


class Wire:
    """A connection between two hosts.

    :param client: the protocol of who has opened it, at ``source``.
    :param server: that of the other side, at ``target``.
    """

    def __init__(
        self, network: "Network", source: str, client: Any, target: str, server: Any
    ) -> None:
        self.network = network
        self.hosts = (source, target)
        self.delay_s = network.make_delay()
        """One way, in seconds."""
        self._is_stuck = False
        self.ends = [End(self, client), End(self, server)]
        self.ends[0].other, self.ends[1].other = self.ends[1], self.ends[0]
        network.wires.append(self)
        for end in reversed(self.ends):
            end.protocol.makeConnection(end)

    @property
    def is_over(self) -> bool:
        """Whether it has gone, for both."""
        return all(end.is_over for end in self.ends)

    @property
    def is_blocked(self) -> bool:
        """Whether nothing passes now."""
        return self._is_stuck or self.network.is_parted(*self.hosts)

    @property
    def is_stuck(self) -> bool:
        """Whether nothing passes on this one."""
        return self._is_stuck

    @is_stuck.setter
    def is_stuck(self, value: bool) -> None:
        self._is_stuck = value
        self.poke()

    def poke(self) -> None:
        """See `Lane`."""
        for end in self.ends:
            end.lane.poke()

    def cut(self) -> None:
        """Cut it. Both ends lose it at once, with everything that is on its way."""
        for end in self.ends:
            end.lane.clear()
        for end in self.ends:
            end.lose(ConnectionLost())


class Connector:
    """Opens a `Wire`: the `IConnector` of a client factory."""

    def __init__(
        self, network: "Network", source: str, target: str, factory: Any, timeout_s: float
    ) -> None:
        self._network, self._factory = network, factory
        self._hosts = source, target
        self._timeout: IDelayedCall | None = None
        self._handshake: IDelayedCall | None = None
        self._timeout_s = timeout_s

    def connect(self) -> None:
        """Begin to."""
        network = self._network
        self._factory.doStart()
        self._factory.startedConnecting(self)
        self._timeout = network.clock.callLater(self._timeout_s, self._timed_out)
        network.when_joined(self._try)
        self._try()

    def disconnect(self) -> None:
        """Give up."""
        self._network.no_longer(self._try)
        for call in (self._timeout, self._handshake):
            if call is not None and call.active():
                call.cancel()

    stopConnecting = disconnect

    def getDestination(self) -> IPv4Address:
        """See `IConnector`."""
        return IPv4Address("TCP", "127.0.0.1", ord(self._hosts[1]))

    def _try(self) -> None:
        """Send the SYN. TCP sends it again where nothing gets through."""
        network = self._network
        if self._handshake is None and not network.is_parted(*self._hosts):
            self._handshake = network.clock.callLater(2 * network.make_delay(), self._connected)

    def _connected(self) -> None:
        self._handshake = None
        network = self._network
        source, target = self._hosts
        if network.is_parted(source, target):
            return
        self.disconnect()
        accept = network.listeners.get(target)
        if accept is None or (source, target) in network.refused:
            self._fail(ConnectionRefusedError())
        else:
            protocol = self._factory.buildProtocol(None)
            Wire(network, source, protocol, target, accept())

    def _timed_out(self) -> None:
        self.disconnect()
        self._fail(ConnectTimeout())

    def _fail(self, why: Exception) -> None:
        self._factory.clientConnectionFailed(self, Failure(why))


class Network:
    """Hosts, and the connections between them."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.delay_s = 0.0
        """One way, of connections that begin from now on."""
        self.make_delay: Callable[[], float] = lambda: self.delay_s
        """Gives each of them its own."""
        self.wires: list[Wire] = []
        self.listeners: dict[str, Callable[[], Any]] = {}
        """By host, what makes the protocol for a connection that comes in."""
        self.refused: set[tuple[str, str]] = set()
        """From which host new connections to which are refused."""
        self.tamper: Tamper = lambda wire, data: data
        self._parted: set[frozenset[str]] = set()
        self._pokes: list[Callable[[], None]] = []

    def is_parted(self, one: str, other: str) -> bool:
        """Whether nothing gets from one host to the other."""
        return frozenset((one, other)) in self._parted

    def part(self, one: str, other: str) -> None:
        """Let nothing through between two hosts, without either being told."""
        self._parted.add(frozenset((one, other)))

    def join(self, one: str, other: str) -> None:
        """Let through what has waited between two hosts, and what comes."""
        self._parted.discard(frozenset((one, other)))
        self._poke()

    def join_all(self) -> None:
        """Make the network whole again."""
        self._parted.clear()
        self.refused.clear()
        for wire in self.wires:
            wire.is_stuck = False
        self._poke()

    def between(self, one: str, other: str) -> list[Wire]:
        """The connections of two hosts."""
        return [wire for wire in self.wires if set(wire.hosts) == {one, other}]

    def reset(self, one: str, other: str) -> None:
        """Cut the connections of two hosts."""
        for wire in self.between(one, other):
            wire.cut()

    def when_joined(self, poke: Callable[[], None]) -> None:
        """Call it whenever something that was parted may be joined."""
        self._pokes.append(poke)

    def no_longer(self, poke: Callable[[], None]) -> None:
        """Don't call it any more. Harmless when it isn't."""
        if poke in self._pokes:
            self._pokes.remove(poke)

    def _poke(self) -> None:
        for wire in tuple(self.wires):
            wire.poke()
        for poke in tuple(self._pokes):
            poke()
