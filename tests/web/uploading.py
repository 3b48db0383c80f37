"""An upload over HTTP without a network: a request whose body goes as it is told to."""

import json
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from apptuner_relay.web.site import RelaySite
from tests.web.http import LOCAL, Answer, parse

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Uploader:
    """The client of one upload.

    :param length: of its body; None for one in chunks.
    """

    def __init__(
        self,
        site: RelaySite,
        length: int | None = None,
        path: str = "/bundles/ABC234",
        method: str = "PUT",
        peer: IPv4Address = LOCAL,
        **headers: str,
    ) -> None:
        self.transport: Any = StringTransport(peerAddress=peer)
        self.transport.protocol = site.buildProtocol(peer)
        self.channel.makeConnection(self.transport)
        self._is_chunked = length is None
        fields = {"Host": "relay"} | {k.replace("_", "-"): v for k, v in headers.items()}
        fields |= {"Transfer-Encoding": "chunked"} if length is None else {}
        fields |= {} if length is None else {"Content-Length": str(length)}
        lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items()), "", ""]
        self.channel.dataReceived("\r\n".join(lines).encode())

    @property
    def channel(self) -> Any:
        """What has the connection at the relay."""
        return self.transport.protocol

    def send(self, data: bytes) -> None:
        """Send the next of the body."""
        self.channel.dataReceived(b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data)

    def end(self) -> None:
        """End a body in chunks."""
        self.channel.dataReceived(b"0\r\n\r\n")

    def lose(self) -> None:
        """The connection is gone."""
        self.channel.connectionLost(Failure(ConnectionDone()))

    @property
    def is_asked_for_body(self) -> bool:
        """Whether a client that expects it was asked for the body."""
        return self.transport.value().startswith(CONTINUE)

    @property
    def is_read(self) -> bool:
        """Whether the relay reads from the connection."""
        return self.transport.producerState == "producing"

    @property
    def answer(self) -> Answer | None:
        """The answer; None before it has come."""
        data = self.transport.value().removeprefix(CONTINUE)
        return parse(data) if data else None

    @property
    def status(self) -> int | None:
        """The answer's status."""
        return None if self.answer is None else self.answer.status

    @property
    def found(self) -> dict[str, Any]:
        """The answer's JSON."""
        assert self.answer is not None, "no answer"
        found: dict[str, Any] = json.loads(self.answer.body)
        return found
