"""`apptuner_relay.relay.acknowledgements`: what phones say of bundles, recorded and passed on."""

import json
from typing import Any

from apptuner_relay.wire.frames import CLOSE_INVALID_PAYLOAD, COMPRESSED, CONTINUATION, TEXT
from tests.memory import Client, deflated, masked
from tests.operator.test_bundle_records import RecordsCase
from tests.spool.cases import some_code

ACK = b'{"type":"bundle_ack",  "success":true}'
FAILED = b'{"type":"bundle_ack","success":false,"error":"SyntaxError: x"}'


class AcksCase(RecordsCase):
    def named_cli(self, deflate: bool = False) -> Client:
        return self.relay.connect("/cli/ABC234?acks=1", deflate=deflate)

    def ended(self) -> dict[str, Any]:
        """How the last bundle has ended at its only phone."""
        (phone,) = self.row()["phones"]
        return {name: phone[name] for name in ("state", "error")}

    def pushed(self, query: str = "", deflate: bool = False) -> tuple[Client, Client]:
        """A CLI and a phone that has got a bundle."""
        cli = self.relay.connect("/cli/ABC234" + query)
        phone = self.relay.connect("/mobile/ABC234?deviceId=ann&name=Ann", deflate=deflate)
        self.bundle(cli, "code")
        cli.received()
        phone.received()
        return cli, phone


class Recorded(AcksCase):
    def test_a_success_settles_the_bundle(self) -> None:
        _, phone = self.pushed()
        self.relay.clock.advance(0.75)
        phone.send_raw(masked(TEXT, ACK))
        self.assertEqual(self.ended(), {"state": "acknowledged", "error": None})
        self.assertEqual(self.row()["acknowledged_s"], 0.75)
        self.assertEqual([one.number for one in self.settled], [1])

    def test_a_failure(self) -> None:
        _, phone = self.pushed()
        phone.send_raw(masked(TEXT, FAILED))
        self.assertEqual(self.ended(), {"state": "failed", "error": "SyntaxError: x"})
        self.assertIsNone(self.row()["acknowledged_s"])

    def test_of_several_phones_the_last_one_settles_it(self) -> None:
        cli, ann, bob = self.connect("cli"), self.phone("ann"), self.phone("bob")
        self.bundle(cli, "code")
        ann.send_raw(masked(TEXT, ACK))
        self.assertEqual(self.settled, [])
        self.relay.clock.advance(1)
        bob.send_raw(masked(TEXT, FAILED))
        self.assertEqual(len(self.settled), 1)
        self.assertEqual(self.states(), {"ann": "acknowledged", "bob": "failed"})
        self.assertEqual(self.row()["acknowledged_s"], 0.0)

    def test_one_after_the_other_in_one_block(self) -> None:
        # What begins like the last message may pass without being parsed. These may not.
        _, phone = self.pushed()
        phone.send_raw(masked(TEXT, ACK) + masked(TEXT, FAILED))
        self.assertEqual(self.ended()["state"], "failed")
        log = b'{"type":"console_log","payload":{}}'
        phone.send_raw(masked(TEXT, log) + masked(TEXT, ACK) + masked(TEXT, log))
        self.assertEqual(self.ended()["state"], "acknowledged")

    def test_without_anybody_to_tell(self) -> None:
        cli, phone = self.pushed()
        cli.lose()
        phone.send_raw(masked(TEXT, ACK))
        self.assertEqual(self.ended()["state"], "acknowledged")

    def test_compressed(self) -> None:
        _, phone = self.pushed(deflate=True)
        phone.send_raw(masked(TEXT | COMPRESSED, deflated(FAILED)))
        self.assertEqual(self.ended(), {"state": "failed", "error": "SyntaxError: x"})

    def test_in_fragments(self) -> None:
        _, phone = self.pushed()
        phone.send_raw(masked(TEXT, ACK[:9], fin=False))
        self.assertEqual(self.ended()["state"], "sent")
        phone.send_raw(masked(CONTINUATION, ACK[9:]))
        self.assertEqual(self.ended()["state"], "acknowledged")

    def test_a_long_one_counts_by_its_beginning(self) -> None:
        cli, phone = self.pushed("?acks=1")
        text = json.dumps({"type": "bundle_ack", "success": False, "error": "x" * 100_000})
        phone.send_raw(masked(TEXT, text.encode()))
        self.assertEqual(self.ended()["state"], "failed")
        self.assertTrue(self.ended()["error"].startswith("xxx"))
        # It passes as it came, and isn't put together for a name.
        self.assertEqual(cli.received(), [json.loads(text)])

    def test_one_that_inflates_to_a_long_one(self) -> None:
        cli, phone = self.pushed("?acks=1", deflate=True)
        text = json.dumps({"type": "bundle_ack", "success": True, "more": "x" * 100_000}).encode()
        phone.send_raw(masked(TEXT | COMPRESSED, deflated(text)))
        self.assertEqual(self.ended()["state"], "acknowledged")
        self.assertEqual(cli.received(), [json.loads(text)])

    def test_a_bad_one_says_nothing(self) -> None:
        _, phone = self.pushed(deflate=True)
        phone.send_raw(masked(TEXT | COMPRESSED, deflated(ACK)[:-3]))
        phone.read()
        assert phone.closed is not None
        self.assertEqual(phone.closed[0], CLOSE_INVALID_PAYLOAD)
        self.assertEqual(self.ended()["state"], "left")

    def test_it_is_about_what_the_phone_got_last(self) -> None:
        cli, phone = self.pushed()
        self.bundle(cli, "newer")
        phone.send_raw(masked(TEXT, ACK))
        second, first = self.rows()
        self.assertEqual(first["phones"][0]["state"], "superseded")
        self.assertEqual(second["phones"][0]["state"], "acknowledged")

    def test_it_is_not_about_what_is_on_its_way(self) -> None:
        cli, phone = self.pushed()
        self.half(cli, some_code(300_000))
        phone.send_raw(masked(TEXT, ACK))
        second, first = self.rows()
        self.assertEqual(first["phones"][0]["state"], "acknowledged")
        self.assertEqual(second["phones"][0]["state"], "getting")

    def test_a_phone_that_gives_up_in_the_middle(self) -> None:
        cli, phone = self.connect("cli"), self.phone()
        self.half(cli, some_code(300_000))
        phone.send_raw(masked(TEXT, FAILED))
        self.assertEqual(self.states(), {"ann": "failed"})
        cli.lose()
        self.assertEqual(self.states(), {"ann": "failed"})

    def test_chunks_of_which_nobody_knows_the_last(self) -> None:
        cli, phone = self.connect("cli"), self.phone()
        cli.send(type="bundle_start")
        cli.send(type="bundle_chunk", index=0)
        self.relay.clock.advance(2)
        phone.send_raw(masked(TEXT, ACK))
        self.assertEqual(self.states(), {"ann": "acknowledged"})
        self.relay.wait(40)
        row = self.row()
        self.assertEqual((row["state"], row["settled"], row["in_s"]), ("whole", True, 0.0))
        self.assertEqual(len(self.settled), 1)

    def test_a_late_answer_counts_too(self) -> None:
        _, phone = self.pushed()
        self.relay.wait(40)
        self.assertEqual((len(self.settled), self.late), (1, []))
        phone.send_raw(masked(TEXT, ACK))
        self.assertEqual(self.row()["acknowledged_s"], 40.0)
        self.assertEqual((len(self.settled), len(self.late)), (1, 1))

    def test_a_phone_that_comes_back_to_answer(self) -> None:
        # It has restarted with the new code, over another connection.
        _, phone = self.pushed()
        phone.lose()
        self.assertEqual(self.states(), {"ann": "left"})
        self.phone("ann").send_raw(masked(TEXT, ACK))
        self.assertEqual(self.states(), {"ann": "acknowledged"})

    def test_a_phone_that_got_nothing(self) -> None:
        self.phone().send_raw(masked(TEXT, ACK))
        self.assertEqual(self.rows(), [])

    def test_a_late_joiner(self) -> None:
        self.bundle(self.connect("cli"), "code")
        phone = self.phone("ann", "&replay=1")
        self.relay.clock.advance(0.5)
        phone.send_raw(masked(TEXT, ACK))
        (row,) = self.row()["phones"]
        self.assertEqual((row["source"], row["answered_s"]), ("kept", 0.5))
        self.assertEqual([one.shown for one in self.late], ["Ann"])


class Named(AcksCase):
    def test_who_asks_is_told_the_name(self) -> None:
        cli, phone = self.pushed("?acks=1")
        dashboard = self.relay.connect("/dashboard/ABC234")
        dashboard.received()
        phone.send_raw(masked(TEXT, ACK))
        self.assertEqual(
            cli.received(),
            [{"type": "bundle_ack", "success": True, "deviceId": "ann", "deviceName": "Ann"}],
        )
        dashboard.read()
        self.assertEqual(dashboard.messages, [ACK])

    def test_who_does_not_ask_gets_it_as_it_came(self) -> None:
        for query in ("", "?acks=0", "?acks=true"):
            with self.subTest(query=query):
                cli, phone = self.pushed(query)
                phone.send_raw(masked(TEXT, ACK))
                cli.read()
                self.assertEqual(cli.messages, [ACK])
                phone.lose()
                cli.lose()

    def test_only_a_cli_may_ask(self) -> None:
        page = self.relay.connect("/dashboard/ABC234?acks=1")
        phone = self.phone()
        page.received()
        phone.send_raw(masked(TEXT, ACK))
        page.read()
        self.assertEqual(page.messages, [ACK])

    def test_compressed(self) -> None:
        cli = self.relay.connect("/cli/ABC234?acks=1", deflate=True)
        page = self.relay.connect("/dashboard/ABC234", deflate=True)
        phone = self.relay.connect("/mobile/ABC234?deviceId=ann", deflate=True)
        for one in (cli, page):
            one.received()
            one.frames.clear()
        payload = deflated(ACK)
        phone.send_raw(masked(TEXT | COMPRESSED, payload))
        self.assertEqual(cli.received()[0]["deviceId"], "ann")
        page.read()
        self.assertEqual(page.frames, [(TEXT | COMPRESSED, True, payload)])

    def test_in_its_order_among_other_messages(self) -> None:
        cli, phone = self.pushed("?acks=1")
        log = b'{"type":"console_log","payload":{}}'
        phone.send_raw(b"".join(masked(TEXT, text) for text in (log, ACK, log, FAILED)))
        self.assertEqual(cli.types(), ["console_log", "bundle_ack", "console_log", "bundle_ack"])
