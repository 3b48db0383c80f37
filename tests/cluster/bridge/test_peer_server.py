"""What other relays open to this one: who is let in with what, and how a relay that has come is
asked after its client."""

import base64
import hashlib
import json
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from apptuner_relay.cluster.bridge.handover_messages import PATH
from apptuner_relay.cluster.bridge.link import SUBPROTOCOL
from apptuner_relay.cluster.bridge.peer_auth import (
    LIFETIME_S,
    PASS_HEADER,
    PROOF_HEADER,
    REASON_HEADER,
    write_pass,
    write_request_pass,
)
from apptuner_relay.session.session import Role, session_hash
from apptuner_relay.wire.frames import PONG
from tests.cluster.bridge.cases import BridgeCase
from tests.cluster.harness import KEY, SECRET
from tests.log_capture import capture_log
from tests.memory import masked
from tests.web.http import LOCAL

HANDSHAKE_KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class PeerCase(BridgeCase):
    """Handshakes with relay a, by hand."""

    def shake(self, path: str, shown: str | None, subprotocol: str | None = SUBPROTOCOL) -> Any:
        """The status, and the headers in lower case, of the answer to a handshake."""
        fields = {
            "Host": "a",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": HANDSHAKE_KEY,
            "Sec-WebSocket-Version": "13",
            PASS_HEADER: shown,
            "Sec-WebSocket-Protocol": subprotocol,
        }
        lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
        transport = StringTransport(peerAddress=LOCAL)
        channel: Any = self.a.site.buildProtocol(LOCAL)
        channel.makeConnection(transport)
        channel.dataReceived("\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode())
        self.turn()
        head = transport.value().partition(b"\r\n\r\n")[0].decode()
        status, *rest = head.split("\r\n")
        headers = {name.lower(): value for name, value in (one.split(": ", 1) for one in rest)}
        self.addCleanup(self.lose, channel)
        return int(status.split()[1]), headers

    def lose(self, channel: Any) -> None:
        channel.connectionLost(Failure(ConnectionDone()))

    def write_pass(
        self, role: Role = Role.MOBILE, secret: str = SECRET, to: str = "a", ago_s: float = 0.0
    ) -> tuple[str, str]:
        """A pass, and the path that it is for."""
        admission = self.admit(role)
        wall_s = self.a.wall() - ago_s
        self.shown, self.proof = write_pass(secret, "b", to, admission, wall_s)
        return self.shown, f"/peer/{role.value}/{admission.session_hash}"

    def assertRefused(self, answer: Any, status: int, says: str) -> None:
        found, headers = answer
        self.assertEqual(found, status)
        self.assertIn(says, json.loads(headers[REASON_HEADER.lower()]))
        self.assertNotIn(PROOF_HEADER.lower(), headers)
        self.turn(1)
        self.assertEqual(self.a.service.sessions[KEY].mobiles, ())


class WithAClient(PeerCase):
    def test_who_shows_a_pass_is_in_and_sees_that_it_is_the_right_relay(self) -> None:
        shown, path = self.write_pass()
        status, headers = self.shake(path, shown)
        self.assertEqual((status, headers[PROOF_HEADER.lower()]), (101, self.proof))
        self.assertEqual(headers["sec-websocket-protocol"], SUBPROTOCOL)
        accept = hashlib.sha1((HANDSHAKE_KEY + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode())
        self.assertEqual(
            headers["sec-websocket-accept"], base64.b64encode(accept.digest()).decode()
        )
        [member] = self.a.service.sessions[KEY].mobiles
        self.assertEqual(member.through, "b")

    def test_once(self) -> None:
        shown, path = self.write_pass()
        self.shake(path, shown)
        status, headers = self.shake(path, shown)
        self.assertEqual(status, 401)
        self.assertIn("used", headers[REASON_HEADER.lower()])

    def test_no_pass_or_a_bad_one(self) -> None:
        _, path = self.write_pass()
        self.assertRefused(self.shake(path, None), 401, "not signed")
        for options, says in (
            ({"secret": "another-secret"}, "not signed"),
            ({"to": "c"}, "another node"),
            ({"ago_s": LIFETIME_S + 1}, "too old"),
            ({"ago_s": -LIFETIME_S - 1}, "too old"),
        ):
            shown, path = self.write_pass(**options)  # type: ignore[arg-type]
            self.assertRefused(self.shake(path, shown), 401, says)

    def test_a_pass_for_something_else(self) -> None:
        for path in (f"/peer/cli/{KEY}", f"/peer/mobile/{session_hash('XYZ567')}", "/peer/mobile"):
            shown, _ = self.write_pass()
            self.assertRefused(self.shake(path, shown), 400, "another path")

    def test_one_that_does_not_speak_as_relays_do(self) -> None:
        for spoken in (None, "apptuner", "apptuner-peer.99"):
            shown, path = self.write_pass()
            self.assertRefused(self.shake(path, shown, spoken), 400, SUBPROTOCOL)

    def test_a_session_of_another_relay(self) -> None:
        other = session_hash("OTHER1")
        self.b.placement.directory.claim(other)
        admission = self.b.service.admit(Role.MOBILE, "OTHER1", "")
        shown, _ = write_pass(SECRET, "b", "a", admission, self.a.wall())
        self.assertRefused(self.shake(f"/peer/mobile/{other}", shown), 421, "b's")

    def test_a_session_that_is_about_to_move(self) -> None:
        self.a.stop()
        shown, path = self.write_pass()
        status, headers = self.shake(path, shown)
        self.assertEqual(status, 421)
        self.assertIn("move", headers[REASON_HEADER.lower()])

    def test_a_directory_that_can_not_be_asked(self) -> None:
        other = session_hash("OTHER1")
        self.redis.stop()
        self.turn(3)
        admission = self.b.service.admit(Role.MOBILE, "OTHER1", "")
        shown, _ = write_pass(SECRET, "b", "a", admission, self.a.wall())
        self.assertRefused(self.shake(f"/peer/mobile/{other}", shown), 421, "unreachable")

    def test_who_tries_again_and_again_fills_no_disk(self) -> None:
        log = capture_log(self)
        for _ in range(50):
            self.shake(f"/peer/mobile/{KEY}", "x")
        refused = [line for line in log if "as another relay" in line]
        self.assertLess(len(refused), 5)
        self.assertIn("127.0.0.1", refused[0])


class WithASession(PeerCase):
    """Handovers."""

    def shake_hands(
        self, session: str = KEY, subprotocol: str | None = SUBPROTOCOL, **options: Any
    ) -> Any:
        path = PATH + session
        fields = {"secret": SECRET, "to": "a", "path": path} | options
        self.shown, self.proof = write_request_pass(
            fields["secret"], "b", fields["to"], fields["path"], self.a.wall()
        )
        return self.shake(path, self.shown, subprotocol)

    def test_who_shows_a_pass(self) -> None:
        status, headers = self.shake_hands()
        self.assertEqual((status, headers[PROOF_HEADER.lower()]), (101, self.proof))
        # It is no client of the session.
        self.assertEqual(self.a.service.sessions[KEY].members, (self.member,))

    @property
    def member(self) -> Any:
        [page] = self.a.service.sessions[KEY].pages
        return page

    def test_a_bad_pass(self) -> None:
        for options, says in (
            ({"secret": "another-secret"}, "not signed"),
            ({"to": "c"}, "another node"),
            ({"path": PATH + "0" * 64}, "another path"),
        ):
            self.assertRefused(self.shake_hands(**options), 401, says)

    def test_a_pass_of_a_client(self) -> None:
        shown, _ = self.write_pass()
        self.assertRefused(self.shake(PATH + KEY, shown), 401, "not signed")

    def test_no_session(self) -> None:
        for session in ("ABC234", "0" * 63, KEY.upper()):
            answer = self.shake_hands(session)
            self.assertRefused(answer, 400, "64 hex digits")

    def test_one_that_does_not_speak_as_relays_do(self) -> None:
        self.assertRefused(self.shake_hands(subprotocol=None), 400, SUBPROTOCOL)

    def test_one_that_stops_itself(self) -> None:
        self.a.stop()
        self.turn()
        status, headers = self.shake_hands()
        self.assertEqual(status, 503)
        self.assertIn("stops", headers[REASON_HEADER.lower()])


class Presence(BridgeCase):
    """Whether a client of another relay is there."""

    def setUp(self) -> None:
        super().setUp()
        self.link_protocol, self.end = self.link()
        [self.member] = self.a.service.sessions[KEY].mobiles
        self.inbound: Any = self.member.connection

    def test_it_is_asked_once_however_many_want_to_know(self) -> None:
        for _ in range(3):
            self.inbound.probe()
        self.turn()
        self.assertEqual(self.end.heard, ["probe"])
        self.link_protocol.confirm_present()
        self.turn()
        self.inbound.probe()
        self.turn()
        self.assertEqual(self.end.heard, ["probe"] * 2)

    def test_a_silent_relay_is_cut_off_without_a_close(self) -> None:
        self.network.part("a", "b")
        settings = self.a.service.settings.limits
        for _ in range(round(settings.ping_interval + 2 * settings.ping_timeout)):
            self.turn(1)
            # The page is there.
            self.page.send_raw(masked(PONG, b""))
        self.assertEqual(self.a.service.sessions[KEY].mobiles, ())
        self.network.join("a", "b")
        self.turn(1)
        # The client's relay takes that for a loss, and finds it another place.
        self.assertEqual([clean for _, _, clean in self.end.lost], [False])

    def test_what_the_other_relay_answers_itself_is_no_sign_of_the_client(self) -> None:
        self.turn(1)
        heard_s = self.member.heard_s
        self.inbound.ask_to_halt()
        self.link_protocol.confirm_halted()
        self.turn(1)
        self.assertEqual(self.member.heard_s, heard_s)
        self.end.say(b'{"type":"talk"}')
        self.turn(1)
        self.assertGreater(self.member.heard_s, heard_s)
