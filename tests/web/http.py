"""HTTP without a network: requests to a relay's site on transports in memory."""

import json
from dataclasses import dataclass
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IAddress
from twisted.internet.testing import StringTransport

from apptuner_relay.relay.service import RelayService
from apptuner_relay.web.site import make_site

LOCAL = IPv4Address("TCP", "127.0.0.1", 50000)
REMOTE = IPv4Address("TCP", "203.0.113.9", 50000)


@dataclass
class Answer:
    """A response."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return str(self.json()["error"])


class Requester:
    """A connection to the site, from ``peer``."""

    def __init__(self, relay: RelayService, peer: IAddress = LOCAL) -> None:
        site = make_site(relay)
        site.startFactory()
        self.relay = relay
        self._site = site
        self._peer = peer

    def ask(self, path: str, method: str = "GET", body: str = "", **headers: str) -> Answer:
        r"""A request and its answer; underscores in the headers' names stand for hyphens.

        ``\udcff`` in a value is sent as the byte FF.
        """
        return parse(self.open(path, method, body, **headers).value())

    def open(
        self, path: str, method: str = "GET", body: str = "", **headers: str
    ) -> StringTransport:
        """A request whose answer goes on."""
        transport: Any = StringTransport(peerAddress=self._peer)
        channel = transport.protocol = self._site.buildProtocol(self._peer)
        channel.makeConnection(transport)
        fields = {"Host": "127.0.0.1:3000"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        if body:
            fields["Content-Length"] = str(len(body.encode()))
        lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items()), "", body]
        channel.dataReceived("\r\n".join(lines).encode("utf-8", "surrogateescape"))
        answered: StringTransport = transport
        return answered


def parse(raw: bytes) -> Answer:
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (f.split(": ", 1) for f in fields)}
    return Answer(int(status.split()[1]), headers, body)
