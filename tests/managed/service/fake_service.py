"""A service that speaks the Pusher protocol, for tests: WebSocket and HTTP on one port.

It checks signatures by itself, without a word of the relay's code. Whatever a service may do wrong
or refuse, it does at a test's wish: close codes, refusals in bodies that have status 200, limits of
Pusher and Ably, silence. What it would not understand is kept in `malformed`, which a test holds to
be empty.

It runs on a clock with connections in memory (`FakeNetwork`), or on a socket of the reactor.
"""

import hashlib
import hmac
import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.cluster.network import Network, Wire
from tests.managed.service.fake_api import FakeApi

Json = dict[str, Any]
_TLS_RECORD = b"\x16\x03"


@dataclass
class FakeApp:
    """An application and its limits; those of Soketi, unless something else is given."""

    app_id: str = "1"
    key: str = "relay-key"
    secret: str = "relay-secret"
    is_enabled: bool = True
    has_client_events: bool = True
    client_events_per_s: int | None = None
    """For each connection. More are refused with 4301."""
    messages_per_s: int | None = None
    """For each connection and direction: more from it are refused, more to it are dropped."""
    channels_per_connection: int | None = None
    most_connections: int | None = None
    most_members: int = 100
    event_bytes: int = 102_400
    """Of an event's data."""
    activity_timeout: int = 120
    is_over_quota: bool = False
    """Whether publishing is refused with 403."""
    has_errors_in_bodies: bool = True
    """Whether refusals have status 200, and the error in the body."""


def pusher_app(**changes: Any) -> FakeApp:
    """An application with Pusher's limits."""
    limits: Json = {"client_events_per_s": 10, "event_bytes": 10_240, "has_errors_in_bodies": False}
    return FakeApp(**{**limits, **changes})


def ably_app(**changes: Any) -> FakeApp:
    """An application with Ably's limits, and its names, which are no numbers."""
    limits: Json = {
        "app_id": "aB3_dE",
        "key": "aB3_dE.fG-7hI",
        "messages_per_s": 50,
        "channels_per_connection": 200,
        "most_members": 200,
        "event_bytes": 65_536,
        "has_errors_in_bodies": False,
    }
    return FakeApp(**{**limits, **changes})


@dataclass
class FakeChannel:
    """A channel that somebody is in."""

    connections: list["FakeConnection"] = field(default_factory=list)
    members: dict[str, Json] = field(default_factory=dict)
    """By ``user_id``, their ``user_info``: people who are in it without a connection as well."""

    def user_of(self, connection: "FakeConnection", name: str) -> str | None:
        """Who that connection is in this channel."""
        return connection.users.get(name)


class _Rate:
    """No more than so many in any second."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._times: deque[float] = deque()

    def take(self, now_s: float) -> bool:
        while self._times and now_s - self._times[0] >= 1:
            self._times.popleft()
        if self._most is not None and len(self._times) >= self._most:
            return False
        self._times.append(now_s)
        return True


class FakeConnection(WebSocketServerProtocol):
    """One client's connection."""

    service: "FakeService"
    socket_id = ""
    is_over = False

    def onOpen(self) -> None:
        service, app = self.service, self.service.app
        self.channels: dict[str, str] = {}
        self.users: dict[str, str] = {}
        self._client_events = _Rate(app.client_events_per_s)
        self._received, self._sent = _Rate(app.messages_per_s), _Rate(app.messages_per_s)
        service.serial += 1
        self.socket_id = f"{service.serial}.{service.serial * 7}"
        key = self.http_request_path.rpartition("/")[2]
        if service.is_mute:
            service.connections.append(self)
        elif service.close_at_once is not None:
            self.refuse(*service.close_at_once)
        elif key != app.key:
            self.refuse(4001, f"App key {key} does not exist.")
        elif not app.is_enabled:
            self.refuse(4003, "The app is not enabled.")
        elif len(service.connections) >= (app.most_connections or 1_000_000):
            self.refuse(4004, "The current concurrent connections quota has been reached.")
        else:
            service.connections.append(self)
            self.greet()

    def greet(self) -> None:
        """Say that the connection is good."""
        data = {"socket_id": self.socket_id, "activity_timeout": self.service.app.activity_timeout}
        self.say({"event": "pusher:connection_established", "data": json.dumps(data)})

    def refuse(self, code: int, text: str) -> None:
        """Close, with the error in front, as Soketi does."""
        self.say({"event": "pusher:error", "data": {"code": code, "message": text}})
        self.end(code)

    def end(self, code: int, reason: str = "") -> None:
        """Close with any code; Autobahn would not send each of them by itself."""
        self.is_over = True
        self.sendCloseFrame(code=code, reasonUtf8=reason.encode(), isReply=False)

    def say(self, frame: Json) -> None:
        """Send a frame."""
        self.sendMessage(json.dumps(frame, separators=(",", ":")).encode())

    def error(self, code: int, text: str, channel: str | None = None) -> None:
        """Say what was wrong, and go on."""
        frame: Json = {"event": "pusher:error", "data": {"code": code, "message": text}}
        if channel is not None:
            frame["channel"] = channel
        self.say(frame)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        service = self.service
        if self.is_over:
            return
        try:
            frame = json.loads(payload)
            event = frame["event"]
        except (ValueError, KeyError, TypeError):
            service.malformed.append(payload)
            return
        if isBinary or not isinstance(event, str):
            service.malformed.append(payload)
            return
        service.frames.append(frame)
        if service.is_mute:
            return
        if event == "pusher:ping":
            if service.answers_pings:
                self.say({"event": "pusher:pong", "data": {}})
        elif event == "pusher:subscribe":
            self._subscribe(frame.get("data"))
        elif event == "pusher:unsubscribe":
            service.leave(self, frame["data"]["channel"])
        elif event.startswith("client-"):
            self._client_event(frame)
        elif event != "pusher:pong":
            service.malformed.append(payload)

    def _subscribe(self, data: Any) -> None:
        service, app = self.service, self.service.app
        if not (isinstance(data, dict) and isinstance(data.get("channel"), str)):
            service.malformed.append(json.dumps(data).encode())
            return
        channel, about = data["channel"], data.get("channel_data")
        if service.ignores_subscriptions:
            return
        signed = f"{self.socket_id}:{channel}" + ("" if about is None else f":{about}")
        if channel in service.refused_channels:
            self._refuse(channel, *service.refused_channels[channel])
        elif data.get("auth") != f"{app.key}:{app_signature(app, signed)}":
            self._refuse(channel, "AuthError", "The connection is unauthorized.", 401)
        elif len(self.channels) >= (app.channels_per_connection or 1_000_000):
            self._refuse(channel, "LimitReached", "Too many channels on this connection", 400)
        elif channel.startswith("presence-"):
            user = json.loads(about)
            self._join(channel, str(user["user_id"]), user.get("user_info", {}))
        else:
            self.channels[channel] = ""
            service.channel(channel).connections.append(self)
            self.say({"event": "pusher_internal:subscription_succeeded", "channel": channel})

    def _join(self, name: str, user_id: str, info: Json) -> None:
        service = self.service
        channel = service.channel(name)
        if len(channel.members) >= service.app.most_members and user_id not in channel.members:
            self._refuse(name, "LimitReached", "The maximum members per presence channel", 4100)
            return
        if user_id not in channel.members:
            service.announce(name, user_id, info)
        channel.members.setdefault(user_id, info)
        if self not in channel.connections:
            channel.connections.append(self)
        self.channels[name], self.users[name] = user_id, user_id
        presence = {
            "ids": list(channel.members),
            "hash": channel.members,
            "count": len(channel.members),
        }
        self.say(
            {
                "event": "pusher_internal:subscription_succeeded",
                "channel": name,
                "data": json.dumps({"presence": presence}),
            }
        )

    def _refuse(self, channel: str, kind: str, text: str, status: int) -> None:
        self.say(
            {
                "event": "pusher:subscription_error",
                "channel": channel,
                "data": {"type": kind, "error": text, "status": status},
            }
        )

    def _client_event(self, frame: Json) -> None:
        service, app = self.service, self.service.app
        name, channel, data = frame["event"], frame.get("channel", ""), frame.get("data")
        text = data if isinstance(data, str) else json.dumps(data)
        now_s = service.reactor.seconds()
        if channel not in self.channels:
            return
        if not app.has_client_events:
            self.error(4301, "The app does not have client messaging enabled.", channel)
        elif len(text.encode()) > app.event_bytes:
            self.error(4301, "The event data should be less than the limit.", channel)
        elif not self._client_events.take(now_s):
            self.error(4301, "The rate limit for sending client events exceeded.", channel)
        elif not self._received.take(now_s):
            self.error(42911, "Rate limit exceeded; request rejected", channel)
        else:
            service.deliver(channel, name, data, self.users.get(channel), self)

    def hear(self, frame: Json) -> None:
        """Send an event, unless that were more than may be sent to one connection."""
        if self._sent.take(self.service.reactor.seconds()):
            self.say(frame)
        else:
            self.service.lost_in_limits += 1

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self.is_over = True
        self.service.forget(self)


class FakeService:
    """The service.

    :param reactor: a `Clock`, or the reactor.
    """

    def __init__(self, reactor: Any, app: FakeApp | None = None) -> None:
        self.reactor = reactor
        self.app = app or FakeApp()
        self.connections: list[FakeConnection] = []
        """Those that were greeted."""
        self.channels: dict[str, FakeChannel] = {}
        self.frames: list[Json] = []
        """What was received of clients."""
        self.malformed: list[bytes] = []
        """What no service could read."""
        self.delivered: list[tuple[str, str, Any]] = []
        """Channel, name and data of what was published, in order."""
        self.lost_in_limits = 0
        self.serial = 100
        self.attempts = 0
        """How many connections were begun, refused ones included."""
        self.is_mute = False
        """Whether it takes connections, and says nothing."""
        self.answers_pings = True
        self.ignores_subscriptions = False
        self.close_at_once: tuple[int, str] | None = None
        """Code and text of what each new connection is closed with."""
        self.handshake_status: int | None = None
        """The HTTP status that each handshake is refused with."""
        self.handshake_answer: bytes | None = None
        """What each handshake is answered with."""
        self.refused_channels: dict[str, tuple[str, str, int]] = {}
        """Type, text and status of the refusal, by channel."""
        self.api = FakeApi(self)
        self._websockets = WebSocketServerFactory(reactor=reactor)
        self._websockets.protocol = FakeConnection
        self._websockets.setProtocolOptions(
            openHandshakeTimeout=0, closeHandshakeTimeout=0, allowNullOrigin=True
        )

    # What is published, and who is there

    def channel(self, name: str) -> FakeChannel:
        """The channel; it begins to be."""
        return self.channels.setdefault(name, FakeChannel())

    def join(self, name: str, user_id: str, info: Json | None = None) -> None:
        """Somebody comes in, who has no connection here."""
        self.announce(name, user_id, info or {})
        self.channel(name).members[user_id] = info or {}

    def part(self, name: str, user_id: str) -> None:
        """Somebody leaves who has no connection here."""
        channel = self.channel(name)
        if channel.members.pop(user_id, None) is not None:
            for one in channel.connections:
                data = json.dumps({"user_id": user_id})
                one.say({"event": "pusher_internal:member_removed", "channel": name, "data": data})
        self._tidy(name)

    def announce(self, name: str, user_id: str, info: Json) -> None:
        """Tell those in a channel of a new member."""
        data = json.dumps({"user_id": user_id, "user_info": info})
        for one in self.channel(name).connections:
            one.say({"event": "pusher_internal:member_added", "channel": name, "data": data})

    def client_event(self, channel: str, user_id: str, name: str, data: Any) -> None:
        """Somebody who has no connection here publishes an event."""
        self.deliver(channel, name, data, user_id, None)

    def deliver(self, channel: str, name: str, data: Any, user_id: str | None, sender: Any) -> None:
        """Send an event to those in a channel."""
        self.delivered.append((channel, name, data))
        frame: Json = {"event": name, "channel": channel, "data": data}
        if user_id is not None:
            frame["user_id"] = user_id
        for one in self.channel(channel).connections:
            if one is not sender and getattr(one, "socket_id", None) != sender:
                one.hear(frame)
        self._tidy(channel)

    def leave(self, connection: FakeConnection, name: str) -> None:
        """A connection unsubscribes."""
        user_id = connection.users.pop(name, None)
        if connection.channels.pop(name, None) is None:
            return
        channel = self.channel(name)
        channel.connections.remove(connection)
        if user_id is not None and user_id not in (
            one.users.get(name) for one in channel.connections
        ):
            self.part(name, user_id)
        self._tidy(name)

    def forget(self, connection: FakeConnection) -> None:
        """A connection has ended."""
        if connection in self.connections:
            self.connections.remove(connection)
        for name in tuple(getattr(connection, "channels", ())):
            self.leave(connection, name)

    def close_all(self, code: int, reason: str = "") -> None:
        """Close every connection."""
        for one in tuple(self.connections):
            one.end(code, reason)

    def events(self, name: str) -> list[Json]:
        """The frames of one name that were received."""
        return [frame for frame in self.frames if frame["event"] == name]

    def _tidy(self, name: str) -> None:
        channel = self.channels.get(name)
        if channel is not None and not channel.connections and not channel.members:
            del self.channels[name]

    # Where it is

    def accept(self) -> Protocol:
        """The protocol for a connection that comes in."""
        return _Port(self)

    def make_websocket(self) -> FakeConnection:
        """The protocol for one that turns out to be a WebSocket."""
        self.attempts += 1
        protocol: FakeConnection = self._websockets.buildProtocol(None)
        protocol.service = self
        return protocol

    def factory(self) -> Factory:
        """Takes connections of real sockets."""
        return _PortFactory(self)


def app_signature(app: FakeApp, text: str) -> str:
    """The HMAC of a text with the application's secret."""
    return hmac.new(app.secret.encode(), text.encode(), hashlib.sha256).hexdigest()


class _Port(Protocol):
    """A connection of which the first line is awaited."""

    def __init__(self, service: FakeService) -> None:
        self._service = service
        self._data = b""
        self._inner: Any = None

    def dataReceived(self, data: bytes) -> None:
        if self._inner is None:
            self._data += data
            if self._data.startswith(_TLS_RECORD):
                self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                self.transport.loseConnection()
                return
            line, found, _ = self._data.partition(b"\r\n")
            if not found:
                return
            data, answer = self._data, self._service.handshake_answer
            if b"/app/" in line:
                if self._service.handshake_status is not None:
                    answer = b"HTTP/1.1 %d No\r\n\r\n" % self._service.handshake_status
                if answer is not None:
                    self._service.attempts += 1
                    self.transport.write(answer)
                    self.transport.loseConnection()
                    return
                self._inner = self._service.make_websocket()
            else:
                self._inner = self._service.api.accept()
            self._inner.makeConnection(self.transport)
        self._inner.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._inner is not None:
            self._inner.connectionLost(reason)


class _PortFactory(Factory):
    noisy = False

    def __init__(self, service: FakeService) -> None:
        self._service = service

    def buildProtocol(self, addr: object) -> Protocol:
        return self._service.accept()


@implementer(IStreamClientEndpoint)
class FakeNetwork:
    """Connects a relay to a `FakeService` in memory, on its clock: an endpoint."""

    def __init__(self, clock: Clock, service: FakeService) -> None:
        self.network = Network(clock)
        self.is_there = True
        """Whether connections are taken."""
        self.is_stuck = False
        """Whether an attempt to connect is not answered."""
        self._service = service

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """See `IStreamClientEndpoint`."""
        if not self.is_there:
            return fail(ConnectionRefusedError())
        if self.is_stuck:
            return Deferred()
        protocol = protocolFactory.buildProtocol(None)
        Wire(self.network, "r", protocol, "s", self._service.accept())
        return succeed(protocol)

    def cut(self) -> None:
        """Cut every connection."""
        for wire in tuple(self.network.wires):
            wire.cut()

    def stick(self, is_stuck: bool = True) -> None:
        """Let nothing through on those that are there, without telling anybody."""
        for wire in self.network.wires:
            wire.is_stuck = is_stuck
