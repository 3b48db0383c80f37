"""Links from one relay to another: how they are opened, or not, and how they end."""

from typing import Any

from twisted.internet.defer import CancelledError

from apptuner_relay.cluster.bridge.link import (
    HALT,
    MOVED,
    PROBE,
    RESUME,
    SUBPROTOCOL,
    LinkProtocol,
    NotListening,
    NotReached,
    NotTrusted,
)
from apptuner_relay.session.session import BadRequest
from apptuner_relay.wire.frames import CLOSE_NORMAL, PONG, TEXT, frame
from tests.cluster.bridge.cases import BridgeCase, LinkEnd
from tests.cluster.harness import KEY
from tests.cluster.network import Wire
from tests.memory import server_frames

ANSWER_S = 2.0
"""How long the answer to a handshake may take."""


class Opening(BridgeCase):
    """Every answer there may be."""

    def test_it_is_open_when_the_client_is_in(self) -> None:
        _, end = self.link()
        [member] = self.a.service.sessions[KEY].mobiles
        self.assertEqual(member.through, "b")
        self.assertEqual(b"connected" in end.texts[0], True)

    def test_nothing_that_comes_is_read_before_it_is_attached(self) -> None:
        opening = self.open()
        self.turn(1)
        link = self.successResultOf(opening)
        # Its welcome has come by now, or waits in the kernel.
        end = LinkEnd(link)
        self.turn()
        self.assertIn(b'"type":"connected"', end.texts[0])

    def test_nobody_is_there(self) -> None:
        self.cluster.kill(self.a)
        opening = self.open()
        self.turn()
        self.failureResultOf(opening, NotListening)

    def test_nothing_gets_there(self) -> None:
        self.network.part("a", "b")
        opening = self.open()
        self.turn(ANSWER_S - 0.1)
        self.assertNoResult(opening)
        self.turn(0.2)
        failure = self.failureResultOf(opening, NotReached)
        self.assertIsNone(failure.check(NotTrusted, NotListening))

    def test_the_other_relay_takes_the_connection_and_says_nothing(self) -> None:
        self.network.tamper = lambda wire, data: b""
        opening = self.open()
        self.turn(ANSWER_S)
        why = self.failureResultOf(opening, NotReached)
        self.assertIn("no answer", str(why.value))
        self.turn()
        self.assertTrue(all(wire.is_over for wire in self.cluster.wires))

    def test_a_client_that_has_gone_meanwhile(self) -> None:
        self.network.delay_s = 0.1
        for at_s in (0.0, 0.15, 0.25, 0.35):
            opening = self.open()
            self.turn(at_s)
            opening.cancel()
            self.failureResultOf(opening, CancelledError)
            self.turn(1)
            self.assertEqual(self.a.service.sessions[KEY].mobiles, ())
            self.assertTrue(all(wire.is_over for wire in self.cluster.wires))

    def test_secrets_differ(self) -> None:
        opening = self.open(secret="another-secret")
        self.turn()
        self.failureResultOf(opening, NotTrusted)

    def test_who_answers_does_not_know_the_secret(self) -> None:
        def forge(wire: Wire, data: bytes) -> bytes:
            head, found, rest = data.partition(b"AppTuner-Proof: ")
            return head + found + b"0" * 64 + rest[64:] if found else data

        self.network.tamper = forge
        opening = self.open()
        self.turn()
        why = self.failureResultOf(opening, NotTrusted)
        self.assertIn("secret", str(why.value))

    def test_it_is_another_node(self) -> None:
        opening = self.open(to="c")
        self.turn()
        self.failureResultOf(opening, NotTrusted)

    def test_the_session_is_not_there(self) -> None:
        self.redis.model.forget("a")
        opening = self.open()
        self.redis.model.evict(KEY)
        self.b.placement.directory.claim(KEY)
        self.turn()
        self.failureResultOf(opening, NotReached)

    def test_the_client_is_refused(self) -> None:
        for n in range(5):
            self.connect(self.a, f"mobile?deviceId=d{n}")
        opening = self.open()
        self.turn(3)
        refusal = self.failureResultOf(opening, BadRequest).value
        self.assertEqual((refusal.status, "5" in str(refusal)), (403, True))

    def test_what_is_no_relay(self) -> None:
        for answer in (
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
            b'HTTP/1.1 403 No\r\nAppTuner-Reason: "x\r\n\r\n',
            b"HTTP/1.1\r\n\r\n",
        ):

            def answered(wire: Wire, data: bytes, answer: bytes = answer) -> bytes:
                return answer if data.startswith(b"HTTP/1.1") else data

            self.network.tamper = answered
            opening = self.open()
            self.turn(ANSWER_S)
            failure = self.failureResultOf(opening, NotReached)
            self.assertIsNone(failure.check(NotTrusted), answer)
            self.turn(ANSWER_S)
            self.assertTrue(all(wire.is_over for wire in self.cluster.wires), answer)


class Asking(BridgeCase):
    """What relays ask each other by pings."""

    def test_each_is_heard_and_answered_when_it_was_done(self) -> None:
        seen: list[bytes] = []

        def watch(wire: Wire, data: bytes) -> bytes:
            if data[0] & 0x7F in (PONG, TEXT) and wire.ends[0].protocol is link:
                seen.extend(bytes([op]) + payload for op, _, payload in server_frames(data))
            return data

        link, end = self.link()
        inbound = next(iter(self.a.service.sessions[KEY].mobiles)).connection
        self.network.tamper = watch
        inbound.ask_to_halt()  # type: ignore[attr-defined]
        self.turn()
        self.assertEqual((end.heard, inbound.is_halted), (["halt"], False))  # type: ignore[attr-defined]
        end.say(b'{"type":"talk"}')
        end.sink.when_idle(link.confirm_halted)
        self.turn()
        self.assertTrue(inbound.is_halted)  # type: ignore[attr-defined]
        self.assertEqual([one[:1] for one in seen], [bytes([TEXT]), bytes([PONG])])
        inbound.ask_to_resume()  # type: ignore[attr-defined]
        self.turn()
        self.assertEqual((end.heard, inbound.is_halted), (["halt", "resume"], False))  # type: ignore[attr-defined]
        inbound.probe()
        self.turn()
        self.assertEqual(end.heard[-1], "probe")
        since_s = inbound.last_heard_s()
        link.confirm_present()
        self.turn()
        self.assertGreater(inbound.last_heard_s(), since_s)

    def test_nobody_is_asked_whose_client_has_gone(self) -> None:
        link, end = self.link()
        [member] = self.a.service.sessions[KEY].mobiles
        inbound: Any = member.connection
        for wire in self.cluster.wires:
            wire.delay_s = 0.2
        inbound.ask_to_halt()
        inbound.probe()
        link.close_when_delivered("gone")
        self.turn(1)
        self.assertEqual(end.heard, [])

    def test_other_pings_are_answered_as_they_are(self) -> None:
        _, end = self.link()
        for payload in (b"", b"x", HALT + b"!", PROBE.upper(), RESUME[:-1]):
            end.sink.control(frame(9, payload), None)
        self.turn()
        self.assertEqual(end.heard, [])
        self.assertEqual(end.lost, [])


class Ending(BridgeCase):
    def test_what_the_client_has_sent_arrives_before_the_close(self) -> None:
        link, end = self.link()
        for wire in self.cluster.wires:
            wire.delay_s = 0.3
        for n in range(3):
            end.say(b'{"type":"talk","n":%d}' % n)
        link.close_when_delivered("left")
        self.turn(2)
        self.assertEqual(self.heard(self.page), [0, 1, 2])
        self.assertEqual(self.a.service.sessions[KEY].mobiles, ())
        self.assertEqual((link.is_delivering, end.lost), (False, []))

    def test_a_way_on_which_nothing_passes_is_cut(self) -> None:
        link, end = self.link()
        for wire in self.cluster.wires:
            wire.is_stuck = True
        end.say(b"x" * 500_000)
        link.close_when_delivered("left")
        self.assertTrue(link.is_delivering)
        self.turn(3 * self.b.service.settings.limits.close_timeout)
        self.assertFalse(link.is_delivering)

    def test_a_client_that_leaves_before_anybody_is_attached(self) -> None:
        opening = self.open()
        self.turn()
        link = self.successResultOf(opening)
        link.close_when_delivered("left")
        self.turn(1)
        self.assertEqual(self.a.service.sessions[KEY].mobiles, ())

    def test_the_other_relay_closes(self) -> None:
        for code, why in ((MOVED, "moved"), (1000, "Session timeout"), (1012, "restarts")):
            _, end = self.link()
            [member] = self.a.service.sessions[KEY].mobiles
            self.a.service.registry.retire(member, code, why)
            self.turn()
            self.assertEqual(end.lost, [(code, why, True)])

    def test_the_connection_is_lost(self) -> None:
        _, end = self.link()
        self.network.reset("a", "b")
        self.turn()
        [(code, _, clean)] = end.lost
        self.assertEqual((code, clean), (1006, False))

    def test_it_is_told_once_and_not_to_who_has_left(self) -> None:
        link, end = self.link()
        link.abort()
        self.turn()
        link.close(CLOSE_NORMAL, "again")
        self.assertEqual(end.lost, [])

    def test_what_comes_breaks_the_protocol(self) -> None:
        link, end = self.link()

        def spoil(wire: Wire, data: bytes) -> bytes:
            # A reserved opcode.
            return b"\x83\x00" if wire.ends[0].protocol is link and b"talk" in data else data

        self.network.tamper = spoil
        cli = self.cluster.connect(self.a, "/cli/ABC234")
        self.talk(cli, 1)
        self.turn()
        self.assertEqual([(code, clean) for code, _, clean in end.lost], [(1006, False)])
        self.turn(5)
        self.assertEqual(self.a.service.sessions[KEY].mobiles, ())

    def test_they_speak_the_same_and_nothing_is_masked(self) -> None:
        seen: list[bytes] = []

        def watch(wire: Wire, data: bytes) -> bytes:
            seen.append(data)
            return data

        self.network.tamper = watch
        link, end = self.link()
        self.assertEqual(link.websocket_protocol_in_use, SUBPROTOCOL)
        text = b'{"type":"talk","n":1}'
        end.say(text)
        self.turn()
        self.assertIn(text, seen[-1])
        self.assertIsInstance(link, LinkProtocol)
