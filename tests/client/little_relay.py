"""A relay small enough to see through, for tests: Autobahn's message API and no extensions.

`LittleRelay` hands messages from the CLI to the phones and back, keeps what it saw, and can be
told to misbehave. It serves bundles from a `BundleServer`. It is not the relay of this project, and
shares no code with it.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from apptuner_relay.client.address import Relay
from apptuner_relay.client.outcome import Exit
from apptuner_relay.client.reactor_run import start
from apptuner_relay.client.screen import Screen

from .bundle_server import BundleServer
from .schema import check_output


class Peer(WebSocketServerProtocol):
    """The relay's end of one connection."""

    def processHandshake(self) -> None:
        if not self.data.startswith(b"GET /bundles/"):
            super().processHandshake()
        elif b"\r\n\r\n" in self.data:
            self.serve(self.data)

    def serve(self, request: bytes) -> None:
        """Answer a plain HTTP request."""
        relay: LittleRelay = self.factory.relay
        answer = relay.server.answer(request)
        body = b"" if answer.status == 304 else answer.body[: answer.cut]
        self.transport.write(answer.head() + body)
        relay.happened("request", self)
        if not answer.hangs:
            self.transport.loseConnection()

    def onConnect(self, request: Any) -> None:
        self.role, self.session = request.path.strip("/").split("/")
        self.query = {key: values[0] for key, values in request.params.items()}
        self.frames: list[tuple[int, bool, int]] = []
        self.messages: list[dict[str, Any]] = []
        self.user_agent = request.headers.get("user-agent")

    def onOpen(self) -> None:
        relay: LittleRelay = self.factory.relay
        relay.peers.append(self)
        relay.all_peers.append(self)
        if relay.welcomes:
            self.say("connected", sessionId="0" * 64, clientType=self.role)
        relay.happened("open", self)
        if self.role == "mobile":
            relay.announce(self, "mobile_connected")
        else:
            for phone in relay.of_role("mobile"):
                self.say("mobile_connected", **relay.described(phone))
            if relay.lists and relay.of_role("mobile"):
                relay.list_devices(self)

    def onFrameEnd(self) -> Any:
        frame = self.current_frame
        self.frames.append((frame.opcode, bool(frame.fin), frame.length))
        return super().onFrameEnd()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        relay: LittleRelay = self.factory.relay
        message = json.loads(payload)
        message["_raw"] = payload
        self.messages.append(message)
        kind = message["type"]
        if kind == "ping":
            if relay.answers_pings:
                self.say("pong")
        elif self.role == "mobile":
            for peer in relay.of_role("cli") + relay.of_role("dashboard"):
                peer.pass_on(payload)
        else:
            target = re.search(rb'"targetDeviceId":"([^"]*)"', payload[:512])
            for phone in relay.of_role("mobile"):
                if target is None or phone.query.get("deviceId") == target[1].decode():
                    phone.pass_on(payload)
        relay.happened(kind, self)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        relay: LittleRelay = self.factory.relay
        self.closed = (wasClean, code, reason)
        if self in relay.peers:
            relay.peers.remove(self)
            if self.role == "mobile":
                relay.announce(self, "mobile_disconnected")
            relay.happened("close", self)

    def say(self, kind: str, **body: Any) -> None:
        self.pass_on(json.dumps({"type": kind, **body, "timestamp": 1}).encode())

    def pass_on(self, payload: bytes) -> None:
        if self.state == self.STATE_OPEN:  # It may be closing.
            self.sendMessage(payload)


class LittleRelay:
    """Listens on a free port of the loopback interface."""

    def __init__(self) -> None:
        self.welcomes = True
        self.answers_pings = True
        self.names_devices = True
        self.lists = True
        self.server = BundleServer()
        self.peers: list[Peer] = []
        self.all_peers: list[Peer] = []
        self.hooks: list[tuple[str, Callable[[Peer], None]]] = []
        factory = WebSocketServerFactory()
        factory.protocol = Peer
        factory.relay = self
        factory.noisy = False
        factory.setProtocolOptions(maxMessagePayloadSize=52_428_800)
        self.port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.address = Relay(False, "127.0.0.1", self.port.getHost().port)

    def of_role(self, role: str) -> list[Peer]:
        return [peer for peer in self.peers if peer.role == role]

    def described(self, phone: Peer) -> dict[str, str]:
        if not self.names_devices:
            return {}
        return {
            "deviceId": phone.query.get("deviceId", "nameless"),
            "deviceName": phone.query.get("name", ""),
            "platform": phone.query.get("platform", ""),
        }

    def announce(self, phone: Peer, kind: str) -> None:
        for peer in self.of_role("cli") + self.of_role("dashboard"):
            peer.say(kind, **self.described(phone))
            if self.lists:
                self.list_devices(peer)

    def list_devices(self, peer: Peer) -> None:
        devices = [self.described(phone) for phone in self.of_role("mobile")]
        peer.say("device_list", devices=[{**d, "name": d["deviceName"]} for d in devices])

    def on(self, kind: str, action: Callable[[Peer], None]) -> None:
        """Call `action` each time a message of this kind came, or "open" or "close"."""
        self.hooks.append((kind, action))

    def once(self, kind: str) -> Deferred[Peer]:
        """Fires with the peer the next time that it happens."""
        happened: Deferred[Peer] = Deferred()

        def fire(peer: Peer) -> None:
            self.hooks.remove(entry)
            happened.callback(peer)

        entry = (kind, fire)
        self.hooks.append(entry)
        return happened

    def happened(self, kind: str, peer: Peer) -> None:
        for wanted, action in list(self.hooks):
            if wanted == kind:
                action(peer)

    def close(self) -> Deferred[None]:
        for peer in list(self.peers):
            peer.transport.abortConnection()
        return self.port.stopListening()


class Recorder(Screen):
    """A screen that keeps what it was told."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()
        super().__init__(self.out, self.err, quiet=quiet)


class Refusal(Protocol):
    """Answers whatever is asked with the same bytes, then closes."""

    def dataReceived(self, data: bytes) -> None:
        if not getattr(self, "answered", False):
            self.answered = True
            self.factory.asked += 1
            self.transport.write(self.factory.answer)
            if self.factory.closes:
                self.transport.loseConnection()


class RelayTestCase(TestCase):
    """With a little relay, and screens to look at."""

    timeout = 30

    def setUp(self) -> None:
        self.relay = LittleRelay()
        self.addCleanup(self.relay.close)

    def listen_refusing(self, answer: bytes, *, closes: bool = True) -> tuple[Relay, Factory]:
        factory = Factory.forProtocol(Refusal)
        factory.noisy = False
        factory.answer, factory.closes, factory.asked = answer, closes, 0
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return Relay(False, "127.0.0.1", port.getHost().port), factory

    def begin(self, name: str, *arguments: str, quiet: bool = False) -> tuple[Any, Recorder]:
        """Start a command as `main` would; returns its running and its screen."""
        from apptuner_relay.client.main import commands, make_parser

        screen = Recorder(quiet=quiet)
        relay = [] if "--relay" in arguments else ["--relay", str(self.relay.address)]
        line = [name, *relay, "--session", "ABC234", *arguments]
        parsed = make_parser(commands()).parse_args(line)
        running = start(parsed, reactor, screen)

        def stop() -> Deferred[Exit] | None:
            if not running.done.called:
                running.leave(Exit.INTERRUPTED)
                return running.done
            return None

        if "--json" in arguments:
            self.addCleanup(lambda: check_output(screen.out.getvalue()))
        self.addCleanup(stop)
        return running, screen


__all__ = ["LittleRelay", "Peer", "Recorder", "RelayTestCase"]
