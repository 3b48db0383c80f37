"""What tests of the bridge stand on: two relays, a session of the first one's, and links that the
second one opens."""

import dataclasses
from typing import Any

from twisted.internet.defer import Deferred

from apptuner_relay.cluster.bridge.link import LinkProtocol, open_link
from apptuner_relay.relay.frame_handler import ConnectionFlow
from apptuner_relay.session.session import Admission, Role
from apptuner_relay.wire.frames import TEXT, Piece, Texts, frame
from tests.cluster.harness import SECRET, SESSION, ClusterCase, ClusterRelay


class LinkEnd:
    """Takes what comes over a link, and hears of it: a `FrameHandler` and a `LinkListener`."""

    def __init__(self, link: LinkProtocol) -> None:
        ends: ConnectionFlow = link.make_flow()
        self.source, self.sink, self.reader = ends
        self.bytes_in = 0
        self.texts: list[bytes] = []
        self.heard: list[str] = []
        """The names of what was called, in turn."""
        self.lost: list[tuple[int, str, bool]] = []
        self._part = b""
        link.attach(self, self)

    def say(self, text: bytes) -> None:
        """Send a message, as the client."""
        self.sink.send(frame(TEXT, text), None)
        self.sink.flush(None)

    def take_texts(self, texts: Texts) -> None:
        self.texts += map(bytes, texts)

    def take_alone(self, text: bytearray, now_s: float) -> bool:
        return False

    def take(self, piece: Piece, view: memoryview) -> None:
        _, end, _, payload, stop = piece
        self._part += view[payload:stop]
        if end:
            self.texts.append(self._part)
            self._part = b""

    def flush(self) -> None:
        self.source.flush()

    def on_halt(self) -> None:
        self.heard.append("halt")

    def on_resume(self) -> None:
        self.heard.append("resume")

    def on_probe(self) -> None:
        self.heard.append("probe")

    def on_link_lost(self, code: int, why: str, clean: bool) -> None:
        self.lost.append((code, why, clean))


class BridgeCase(ClusterCase):
    """Relay a has the session, as a dashboard is there; b opens links to it."""

    def setUp(self) -> None:
        super().setUp()
        self.a, self.b = self.relays("ab")
        self.page = self.connect(self.a, "dashboard")

    def admit(self, role: Role = Role.MOBILE, query: str = "", **fields: Any) -> Admission:
        """As b lets a client in."""
        admission = self.b.service.admit(role, SESSION, query)
        return dataclasses.replace(admission, **fields)

    def open(
        self,
        role: Role = Role.MOBILE,
        secret: str = SECRET,
        to: str = "a",
        by: ClusterRelay | None = None,
        admission: Admission | None = None,
    ) -> "Deferred[LinkProtocol]":
        """Open a link to a, which is to be node ``to``."""
        relay = by or self.b
        return open_link(
            relay.service,
            f"ws://127.0.0.1:{ord('a')}",
            secret,
            relay.name,
            to,
            admission or self.admit(role),
        )

    def link(self, role: Role = Role.MOBILE) -> tuple[LinkProtocol, LinkEnd]:
        """One that is open, and its end."""
        opening = self.open(role)
        self.turn()
        link = self.successResultOf(opening)
        end = LinkEnd(link)
        self.turn()
        return link, end
