"""A managed service and its relay, small enough to see through, for tests of the companion.

`LittleChannel` speaks the Pusher protocol to its clients, plays the relay that is in the channel,
and answers what is asked of it over HTTP. It can be told to misbehave, and shares no code with this
project.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.web.resource import Resource
from twisted.web.server import Site

from apptuner_relay.client.address import Relay

CHANNEL = "presence-apptuner." + hashlib.sha256(b"ABC234").hexdigest()
RELAY = "relay:0123456789ab:a"


class Subscriber(WebSocketServerProtocol):
    """The service's end of one connection."""

    def onConnect(self, request: Any) -> None:
        self.path, self.params = request.path, request.params
        self.heard: list[dict[str, Any]] = []
        self.said: list[dict[str, Any]] = []
        """The messages of its events."""

    def onOpen(self) -> None:
        service: LittleChannel = self.factory.service
        service.subscribers.append(self)
        data = {"socket_id": "12.34", "activity_timeout": 30}
        self.say("pusher:connection_established", json.dumps(data), channel=None)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        service: LittleChannel = self.factory.service
        message = json.loads(payload)
        self.heard.append(message)
        if message["event"] == "pusher:subscribe":
            assert message["data"]["channel"] == CHANNEL, message
            self.user_id = json.loads(message["data"]["channel_data"])["user_id"]
            if service.refuses_with is not None:
                self.say("pusher:subscription_error", service.refuses_with)
                return
            people = {self.user_id: {}, **({RELAY: {}} if service.has_relay else {})}
            presence = {"ids": list(people), "hash": people, "count": len(people)}
            self.say("pusher_internal:subscription_succeeded", json.dumps({"presence": presence}))
            if service.has_relay and service.welcomes:
                self.tell({"type": "connected"})
            service.happened("subscribed", self)
        elif message["event"] == "pusher:ping" and service.answers_pings:
            self.say("pusher:pong", {}, channel=None)
        elif message["event"] == "client-apptuner":
            assert message["channel"] == CHANNEL, message
            for one in message["data"]["messages"]:
                self.said.append(one)
                service.happened(one["type"], self)

    def say(self, event: str, data: Any, *, channel: str | None = CHANNEL, **more: Any) -> None:
        body = {"event": event, "data": data, **more}
        self.sendMessage(
            json.dumps(body if channel is None else {**body, "channel": channel}).encode()
        )

    def tell(self, *messages: dict[str, Any], n: int | None = None, sender: str = RELAY,
             epoch: str = "0a0b0c0d", to: Any = None) -> None:  # fmt: skip
        """What the relay publishes; a number is left out where ``n`` says so."""
        service: LittleChannel = self.factory.service
        service.n = service.n + 1 if n is None else n
        recipients = [self.user_id] if to is None else to
        data = {"epoch": epoch, "n": service.n, "to": recipients, "messages": messages}
        self.say("client-apptuner", data, user_id=sender)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        service: LittleChannel = self.factory.service
        if self in service.subscribers:
            service.subscribers.remove(self)
            service.happened("gone", self)


class Answers(Resource):
    """What the relay answers over HTTP."""

    isLeaf = True

    def __init__(self, service: LittleChannel) -> None:
        super().__init__()
        self.service = service

    def render(self, request: Any) -> bytes:
        service = self.service
        body = request.content.read()
        asked = (request.method.decode(), request.path.decode(), body)
        service.asked.append((*asked, request.getHeader("authorization")))
        service.types.append((request.getHeader("content-type"), request.getHeader("if-match")))
        answer = service.answers.pop(0) if service.answers else None
        if answer is not None:
            status, value = answer
            request.setResponseCode(status)
            return json.dumps(value).encode()
        if asked[:2] == ("POST", "/pusher/auth"):
            form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            service.forms.append(form)
            service.users += 1
            user = f"{form['role']}:{service.users:012x}:{form.get('deviceId', '')}"
            data = json.dumps({"user_id": user, "user_info": {"since": 1}})
            return json.dumps({"auth": "key:aa", "channel_data": data}).encode()
        if asked[0] == "PUT":
            request.setResponseCode(201)
            service.happened("uploaded", service.subscribers[-1])
            return json.dumps({"sha256": hashlib.sha256(body).hexdigest()}).encode()
        code = service.bundles.get(asked[1])
        if code is None:
            request.setResponseCode(404)
        return code or b'{"error":"no bundle"}'


class LittleChannel:
    """A service and a relay, on free ports of the loopback interface."""

    def __init__(self) -> None:
        self.has_relay = True
        self.welcomes = True
        self.answers_pings = True
        self.refuses_with: object = None
        self.n = 0
        self.users = 0
        self.forms: list[dict[str, str]] = []
        self.asked: list[tuple[str, str, bytes, str | None]] = []
        self.types: list[tuple[str | None, str | None]] = []
        """Of what was asked: the body's media type, and If-Match."""
        self.answers: list[tuple[int, object] | None] = []
        """What is answered next over HTTP, in the place of the right answer."""
        self.bundles: dict[str, bytes] = {}
        self.subscribers: list[Subscriber] = []
        self.hooks: list[tuple[str, Callable[[Subscriber], None]]] = []
        factory = WebSocketServerFactory()
        factory.protocol = Subscriber
        factory.service = self
        factory.noisy = False
        self.service_port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        site = Site(Answers(self))
        site.noisy = False
        self.relay_port = reactor.listenTCP(0, site, interface="127.0.0.1")
        self.url = f"pusher://key@127.0.0.1:{self.service_port.getHost().port}/1"
        self.relay = Relay(False, "127.0.0.1", self.relay_port.getHost().port)

    def once(self, kind: str) -> Deferred[Subscriber]:
        """Fires the next time that it happens: "subscribed", "gone", "uploaded", or the type of a
        message that a client sends."""
        happened: Deferred[Subscriber] = Deferred()

        def fire(subscriber: Subscriber) -> None:
            self.hooks.remove(entry)
            happened.callback(subscriber)

        entry = (kind, fire)
        self.hooks.append(entry)
        return happened

    def happened(self, kind: str, subscriber: Subscriber) -> None:
        for wanted, action in list(self.hooks):
            if wanted == kind:
                action(subscriber)

    async def close(self) -> None:
        for subscriber in list(self.subscribers):
            subscriber.transport.abortConnection()
        for port in (self.service_port, self.relay_port):
            await maybeDeferred(port.stopListening)
