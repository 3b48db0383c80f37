"""Whether a managed service is there, and knows the application's key."""

from __future__ import annotations

import json
from typing import Any

from autobahn.twisted.websocket import WebSocketClientFactory
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.error import ConnectError
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from apptuner_relay import __version__
from apptuner_relay.client.doctor.finding import (
    Finding,
    failed,
    fine,
    in_figures,
    show_ms,
    warned,
)
from apptuner_relay.client.doctor.time_limit import TimeLimit
from apptuner_relay.client.host_endpoint import endpoint_of
from apptuner_relay.config.managed_url import ManagedUrl, ServiceHost
from apptuner_relay.support.private_names.of_autobahn import ClientHandshakeProtocol
from apptuner_relay.support.socket_errors import describe, is_untrusted

_ESTABLISHED = "pusher:connection_established"
_ERROR = "pusher:error"


class _Guest(ClientHandshakeProtocol):
    """Connects, and hears the service's first word."""

    factory: Any
    transport: Any

    def handshake_failed(self, reason: str) -> None:
        self.factory.tell(f"it refused the handshake: {self.response_status_line or reason}")
        self.transport.abortConnection()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        try:
            event = json.loads(payload)
        except (ValueError, RecursionError):
            return
        name = event.get("event") if isinstance(event, dict) else None
        if name == _ESTABLISHED:
            self.factory.tell("")
            self.sendClose(1000)
        elif name == _ERROR:
            self.factory.tell(f"it refused: {json.dumps(event.get('data'))[:200]}")
            self.sendClose(1000)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if reason.value is not None and is_untrusted(reason.value):
            self.factory.tell(f"its certificate could not be verified: {describe(reason.value)}")
        super().connectionLost(reason)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        # The code and the reason are the service's, if there are any.
        why = f"with code {code}: {reason}" if code is not None else "without a word"
        self.factory.tell(f"it closed the connection {why}")


class _GuestFactory(WebSocketClientFactory):
    noisy = False
    protocol = _Guest

    def __init__(self, reactor: Any, url: str) -> None:
        super().__init__(url, reactor=reactor, useragent=f"apptuner-relay/{__version__}")
        self.setProtocolOptions(
            openHandshakeTimeout=0, closeHandshakeTimeout=0, serverConnectionDropTimeout=0
        )
        self.told: Deferred[str] = Deferred(lambda _: self.drop())
        """What is wrong: nothing, if it is empty."""
        self.guest: Any = None

    def buildProtocol(self, addr: Any) -> Any:
        self.guest = super().buildProtocol(addr)
        return self.guest

    def tell(self, words: str) -> None:
        """Only the first word counts."""
        if not self.told.called:
            self.told.callback(words)

    def drop(self) -> None:
        """End the connection."""
        if self.guest is not None and self.guest.transport is not None:
            self.guest.transport.abortConnection()


async def check_service(
    reactor: Any, limit: TimeLimit, managed: ManagedUrl, own: ServiceHost, seconds: float
) -> Finding:
    """Whether a client gets its first word of the service. `own` is the relay, where it is one."""
    host = own if managed.service is None else managed.service.websocket
    query = f"protocol=7&client=apptuner-relay&version={__version__}"
    url = f"{host.url('ws')}/app/{managed.key}?{query}"
    name = f"{host.host}:{host.port}"
    factory = _GuestFactory(reactor, url)
    began_s = reactor.seconds()
    try:
        words = await limit.within(seconds, _first_word(reactor, host, factory))
    except TimeoutError:
        words = f"it said nothing in {show_ms(reactor.seconds() - began_s)}"
    except (ConnectError, OSError) as error:
        words = describe(error) or "it can't be reached"
    finally:
        factory.drop()
    took_s = reactor.seconds() - began_s
    if not words:
        return fine(
            "managed", f"{name} knows the key; {show_ms(took_s)}", took_ms=in_figures(took_s)
        )
    return failed(
        "managed",
        f"{name}: {words}",
        "Is the service up, and are host, key and application in --managed those of the relay? "
        "With relay://KEY the relay itself answers, if it has the same --managed.",
    )


async def _first_word(reactor: Any, host: ServiceHost, factory: _GuestFactory) -> str:
    await endpoint_of(reactor, host.host, host.port, host.tls).connect(factory)
    return await factory.told


def judge_relays_service(health: object) -> Finding | None:
    """What the relay says of its own connection to the service; None where it says nothing."""
    state = health.get("state") if isinstance(health, dict) else None
    if state in (None, "up"):
        return None
    return warned(
        "managed",
        f"the relay's own connection to the service is {state}",
        "Clients in channels are not reached. The relay's log says why.",
        relay_state=state,
    )
