"""`apptuner_relay.client.channel_connection`, by the commands that use it, over real sockets."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.trial.unittest import TestCase

from apptuner_relay.client import channel_connection, member_connection
from apptuner_relay.client import join as join_module
from apptuner_relay.client import watch as watch_module
from apptuner_relay.client.main import commands, make_parser
from apptuner_relay.client.outcome import Exit, UsageError
from apptuner_relay.client.reactor_run import start

from .cases import now
from .little_channel import RELAY, LittleChannel, Subscriber
from .little_relay import Recorder

CODE = b"let x = 1"
SHA256 = hashlib.sha256(CODE).hexdigest()
ANN = {"deviceId": "ann", "deviceName": "Ann's", "platform": "ios"}


def announcement(code: bytes = CODE) -> dict[str, Any]:
    sha256 = hashlib.sha256(code).hexdigest()
    url = f"/bundles/{{session}}/{sha256}"
    return {"type": "bundle_available", "url": url, "sha256": sha256, "size": len(code)}


class ChannelCase(TestCase):
    timeout = 30

    def setUp(self) -> None:
        self.channel = LittleChannel()
        self.addCleanup(lambda: ensureDeferred(self.channel.close()))
        self.patch(join_module, "PATIENCE", now(2))
        self.patch(watch_module, "PATIENCE", now(2))
        self.here = Path(self.mktemp())
        self.here.mkdir()

    def begin(self, name: str, *arguments: str) -> tuple[Any, Recorder]:
        screen = Recorder()
        line = [name, "--relay", str(self.channel.relay), "--managed", self.channel.url]
        parsed = make_parser(commands()).parse_args([*line, "--session", "ABC234", *arguments])
        running = start(parsed, reactor, screen)

        def stop() -> Deferred[Exit] | None:
            if running.done.called:
                return None
            running.leave(Exit.INTERRUPTED)
            return running.done

        self.addCleanup(stop)
        return running, screen

    async def joined(self, *arguments: str) -> tuple[Any, Recorder, Subscriber]:
        subscribed = self.channel.once("subscribed")
        join, screen = self.begin("join", "--device-id", "ann", *arguments)
        return join, screen, await subscribed

    def offer(self, code: bytes = CODE) -> dict[str, Any]:
        """Have a bundle there."""
        sha256 = hashlib.sha256(code).hexdigest()
        self.channel.bundles[f"/bundles/ABC234/{sha256}"] = code
        return announcement(code)


class JoinTests(ChannelCase):
    async def test_a_phone_is_let_in_takes_a_bundle_and_acknowledges_it(self) -> None:
        output = self.here / "got.js"
        join, _, phone = await self.joined(
            "--once", "--name", "Ann's", "--platform", "ios", "--output", str(output)
        )
        [form] = self.channel.forms
        self.assertEqual(form.pop("channel_name"), phone.heard[0]["data"]["channel"])
        self.assertEqual(
            form,
            {"socket_id": "12.34", "session": "ABC234", "role": "mobile", "deviceId": "ann",
             "name": "Ann's", "platform": "ios"},
        )  # fmt: skip
        self.assertEqual((phone.path, phone.params["protocol"]), ("/app/key", ["7"]))
        phone.tell(self.offer())
        self.assertEqual(await join.done, Exit.DONE)
        self.assertEqual(output.read_bytes(), CODE)
        [ack] = phone.said
        self.assertEqual(
            (ack["type"], ack["success"], ack["deviceId"]), ("bundle_ack", True, "ann")
        )

    async def test_it_leaves_when_the_service_has_passed_on_what_it_said(self) -> None:
        join, _, phone = await self.joined("--once")
        phone.tell(self.offer())
        self.assertEqual(await join.done, Exit.DONE)
        said = [message["event"] for message in phone.heard]
        self.assertEqual(said[-2:], ["client-apptuner", "pusher:ping"])

    async def test_a_service_that_says_nothing_more_does_not_keep_it(self) -> None:
        self.patch(member_connection, "CLOSE_SECONDS", 0.05)
        join, _, phone = await self.joined("--once")
        self.channel.answers_pings = False
        phone.tell(self.offer())
        self.assertEqual(await join.done, Exit.DONE)

    async def test_a_bundle_that_can_not_be_had_is_answered_with_an_error(self) -> None:
        join, screen, phone = await self.joined("--once")
        phone.tell(announcement())
        self.assertEqual(await join.done, Exit.FAILED)
        self.assertIn("HTTP 404: no bundle", phone.said[0]["error"])
        self.assertIn("HTTP 404: no bundle", screen.err.getvalue())

    async def test_a_replay_is_asked_for(self) -> None:
        join, _, phone = await self.joined("--once", "--replay")
        bundle = self.offer()
        phone.tell({"type": "state", "devices": [], "bundle": bundle})
        self.assertEqual(await join.done, Exit.DONE)
        self.assertEqual([one["type"] for one in phone.said], ["state_wanted", "bundle_ack"])

    async def test_who_missed_something_asks_and_gets_it(self) -> None:
        join, _, phone = await self.joined("--once")
        asked = self.channel.once("state_wanted")
        phone.tell(n=5)
        await asked
        phone.tell({"type": "state", "devices": [], "bundle": self.offer()})
        self.assertEqual(await join.done, Exit.DONE)

    async def test_who_comes_again_asks_for_the_state_and_says_what_it_has(self) -> None:
        _, screen, phone = await self.joined()
        acked = self.channel.once("bundle_ack")
        phone.tell(self.offer())
        await acked
        asked = self.channel.once("state_wanted")
        phone.transport.abortConnection()
        again = await asked
        self.assertEqual(self.channel.forms[1]["have"], SHA256)
        # It is not taken again.
        again.tell({"type": "state", "devices": [], "bundle": announcement()})
        told = self.channel.once("state")
        again.tell({"type": "state_wanted"})
        await told
        self.assertEqual([one["type"] for one in again.said], ["state_wanted", "state"])
        ack = again.said[1]["ack"]
        self.assertEqual((ack["type"], ack["success"]), ("bundle_ack", True))
        self.assertEqual(screen.out.getvalue().count(SHA256), 1)

    async def test_what_a_relay_closes_for(self) -> None:
        for code, reason, words in (
            (1000, "Session timeout", "Session timeout"),
            (1008, "too fast", "code 1008: too fast"),
        ):
            join, screen, phone = await self.joined()
            phone.tell({"type": "closed", "code": code, "reason": reason})
            self.assertEqual(await join.done, Exit.NO_CONNECTION)
            self.assertIn(words, screen.err.getvalue())
        _, screen, phone = await self.joined()
        again = self.channel.once("subscribed")
        phone.tell({"type": "closed", "code": 1012, "reason": "restarts"})
        await again
        self.assertIn("code 1012: restarts; trying again", screen.err.getvalue())

    async def test_a_relay_that_does_not_let_it_in(self) -> None:
        self.channel.answers = [(403, {"error": "claimed"})]
        join, screen = self.begin("join")
        self.assertEqual(await join.done, Exit.NO_CONNECTION)
        self.assertIn("refused the connection with HTTP 403: claimed", screen.err.getvalue())

    async def test_a_relay_without_channels(self) -> None:
        self.channel.answers = [(413, {"error": "no body"})]
        join, screen = self.begin("join")
        self.assertEqual(await join.done, Exit.NO_CONNECTION)
        self.assertIn("HTTP 413: no body (is it started with --managed?)", screen.err.getvalue())

    async def test_a_relay_that_will_let_it_in_later(self) -> None:
        self.channel.answers = [(503, {"error": "restarts"}), (429, {"error": "too many"})]
        _, screen, _phone = await self.joined()
        self.assertIn("HTTP 503: restarts; trying again", screen.err.getvalue())
        self.assertIn("HTTP 429: too many; trying again", screen.err.getvalue())

    async def test_a_relay_that_answers_rubbish(self) -> None:
        self.channel.answers = [
            (200, answer)
            for answer in ([], {"auth": "x"}, {"auth": 5, "channel_data": '{"user_id":"x"}'})
        ]
        join, screen = self.begin("join")
        self.assertEqual(await join.done, Exit.NO_CONNECTION)
        self.assertIn("its answer can't be read", screen.err.getvalue())

    async def test_no_relay(self) -> None:
        await self.channel.relay_port.stopListening()
        join, screen = self.begin("join")
        self.assertEqual(await join.done, Exit.NO_CONNECTION)
        self.assertIn(
            "could not be asked for the channel: could not connect", screen.err.getvalue()
        )

    async def test_no_service(self) -> None:
        await self.channel.service_port.stopListening()
        join, screen = self.begin("join")
        self.assertEqual(await join.done, Exit.NO_CONNECTION)
        self.assertIn("could not connect: Connection refused", screen.err.getvalue())

    async def test_a_service_that_refuses_the_channel(self) -> None:
        self.channel.refuses_with = {"type": "AuthError", "error": "bad signature", "status": 401}
        join, screen = self.begin("join")
        self.assertEqual(await join.done, Exit.NO_CONNECTION)
        words = "the managed service refused, with code 401: bad signature\n"
        self.assertTrue(screen.err.getvalue().endswith(words))

    async def test_a_service_that_closes(self) -> None:
        join, screen, phone = await self.joined()
        error = {"code": 4001, "message": "no such app"}
        phone.say("pusher:error", error, channel=None)
        phone.sendCloseFrame(4001, None, False)
        self.assertEqual(await join.done, Exit.NO_CONNECTION)
        self.assertIn(
            "the managed service refused, with code 4001: no such app", screen.err.getvalue()
        )
        _, screen, phone = await self.joined()
        again = self.channel.once("subscribed")
        phone.sendCloseFrame(4200, None, False)
        await again

    async def test_a_channel_without_a_relay_is_left(self) -> None:
        self.patch(channel_connection, "ALONE_SECONDS", (0.0, 0.0))
        _, screen, phone = await self.joined()
        again = self.channel.once("subscribed")
        phone.say("pusher_internal:member_removed", json.dumps({"user_id": RELAY}))
        await again
        self.assertIn("no relay in the channel any more; trying again", screen.err.getvalue())

    async def test_a_relay_that_takes_over_in_time(self) -> None:
        _, screen, phone = await self.joined()
        phone.say("pusher_internal:member_removed", json.dumps({"user_id": RELAY}))
        added = '{"user_id":"relay:0123456789ac:b","user_info":{}}'
        phone.say("pusher_internal:member_added", added)
        asked = self.channel.once("state_wanted")
        phone.tell(sender="relay:0123456789ac:b")
        self.assertIs(await asked, phone)
        self.assertNotIn("trying again", screen.err.getvalue())

    async def test_a_relay_that_says_no_welcome(self) -> None:
        self.channel.welcomes = False
        self.patch(member_connection, "WELCOME_SECONDS", 0.2)
        join, screen = self.begin("join")
        self.assertEqual(await join.done, Exit.NO_CONNECTION)
        self.assertIn("said no welcome in time", screen.err.getvalue())


class WatchTests(ChannelCase):
    async def test_a_dashboard_shows_what_happens(self) -> None:
        subscribed = self.channel.once("subscribed")
        _, screen = self.begin("watch", "--key", "0123456789abcdef")
        page = await subscribed
        self.assertEqual(self.channel.forms[0]["role"], "dashboard")
        self.assertEqual(self.channel.asked[0][3], "Bearer 0123456789abcdef")
        asked = self.channel.once("state_wanted")
        page.tell({"type": "mobile_connected", **ANN}, to="desktop")
        page.tell({"type": "console_log", "payload": {"level": "log", "args": ["hello"]}})
        page.tell({"type": "console_log", "payload": {"level": "log", "args": ["forged"]}},
                  sender="mobile:00000000000b:bob")  # fmt: skip
        page.say("pusher:error", {"code": 4301, "message": "too fast"}, channel=None)
        page.tell(n=9)
        await asked
        shown = screen.out.getvalue()
        self.assertIn("Ann's (ios, ann) came", shown)
        self.assertIn("hello", shown)
        self.assertNotIn("forged", shown)
        self.assertIn("refuses, with code 4301: too fast", shown)


class PushTests(ChannelCase):
    def file(self, text: str = CODE.decode()) -> str:
        path = self.here / "bundle.js"
        path.write_text(text)
        return str(path)

    async def pushing(self, *arguments: str) -> tuple[Any, Recorder, Subscriber]:
        subscribed = self.channel.once("subscribed")
        push, screen = self.begin("push", self.file(), *arguments)
        return push, screen, await subscribed

    def phone_is_there(self, cli: Subscriber) -> None:
        cli.tell({"type": "mobile_connected", **ANN})
        cli.tell({"type": "device_list", "devices": [{**ANN, "name": "Ann's"}]})

    async def test_a_bundle_is_uploaded_and_acknowledged(self) -> None:
        push, screen, cli = await self.pushing("--key", "0123456789abcdef")
        uploaded = self.channel.once("uploaded")
        self.phone_is_there(cli)
        await uploaded
        method, path, body, credential = self.channel.asked[-1]
        self.assertEqual((method, path, body), ("PUT", "/bundles/ABC234", CODE))
        self.assertEqual(credential, "Bearer 0123456789abcdef")
        # It may come before the relay's own answer.
        cli.tell({"type": "bundle_ack", "success": True, "deviceId": "ann"})
        self.assertEqual(await push.done, Exit.DONE)
        self.assertIn("Ann's acknowledged after", screen.out.getvalue())

    async def test_an_upload_that_is_refused(self) -> None:
        for status, said in ((413, "too big"), (409, "a later one"), (507, "the spool is off")):
            push, screen, cli = await self.pushing()
            self.channel.answers = [(status, {"error": said})]
            self.phone_is_there(cli)
            self.assertEqual(await push.done, Exit.FAILED)
            words = f"the relay answered with HTTP {status}: {said}"
            self.assertIn(words, screen.err.getvalue())

    async def test_an_upload_that_may_do_better_later(self) -> None:
        self.patch(join_module, "PATIENCE", now(1))
        push, screen, cli = await self.pushing("--retries", "0")
        self.channel.answers = [(503, {"error": "restarts"})]
        self.phone_is_there(cli)
        self.assertEqual(await push.done, Exit.FAILED)
        self.assertIn("HTTP 503: restarts", screen.err.getvalue())

    def test_what_can_not_be_asked_for(self) -> None:
        for arguments in (("--device", "ann"), ("--single",), ("--source-map", self.file())):
            wrong = self.assertRaises(UsageError, self.begin, "push", self.file(), *arguments)
            self.assertIn("can't go with --managed", str(wrong))
        wrong = self.assertRaises(UsageError, self.begin, "push", self.file(""))
        self.assertIn("is empty", str(wrong))
