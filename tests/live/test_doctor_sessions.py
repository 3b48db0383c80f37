"""``apptuner-relay doctor --session``: what it says of sessions of real relays."""

import time
from pathlib import Path

from apptuner_relay.access.tokens import sign_token
from apptuner_relay.session.session import session_hash
from tests.live.cluster import ClusterCase
from tests.live.doctor_case import DoctorCase
from tests.live.odd_servers import PathHider
from tests.live.processes import RelayProcess

KEY = "a-secret-of-these-tests"
BUNDLE = {"type": "bundle_update", "payload": {"code": "console.log(1)"}}
ERROR = "SyntaxError: Unexpected token '}' (app.js:12:3)"
OTHER_SESSION_KEY = "another-secret-of-16"
SESSION_CHECKS = ["session", "claim", "clients", "phones", "kept", "bundle"]


def token(secret: str, lasts_s: float) -> str:
    return sign_token(secret, session_hash("ABC234"), time.time() + lasts_s)


def url(relay: RelayProcess) -> str:
    return f"ws://127.0.0.1:{relay.port}"


class SessionTest(DoctorCase):
    def key_file(self) -> str:
        path = Path(self.mktemp()).absolute()
        path.write_text(KEY + "\n")
        return f"@{path}"

    async def test_a_phone_that_has_reloaded(self) -> None:
        relay, node = await self.stage("--ping-interval", "0.2")
        cli = await node.join("cli", "ABC234")
        phone = await node.join("mobile", "ABC234", "deviceId=p1&name=Pixel%209&platform=android")
        await cli.send(BUNDLE)
        await phone.bundle()
        await phone.send({"type": "bundle_ack", "success": True})
        await cli.expect("bundle_ack")
        found = await self.diagnose(url(relay), "--session", "ABC234")
        self.assertEqual(found.states("failed") + found.states("warning"), [], repr(found.child))
        self.assertEqual(found.exit_code, 0)
        self.assertIn("2 clients", found.text("session"))
        self.assertIn("not claimed", found.text("claim"))
        self.assertIn("CLI", found.text("clients"))
        self.assertIn("Pixel 9 (android", found.text("phones"))
        self.assertIn("for phones that join later", found.text("kept"))
        self.assertIn("Pixel 9 acknowledged after", found.text("bundle"))
        # Nobody has noticed.
        self.assertEqual(await phone.settle(), [])

    async def test_a_phone_that_has_failed(self) -> None:
        relay, node = await self.stage()
        cli = await node.join("cli", "ABC234")
        phone = await node.join("mobile", "ABC234", "deviceId=p1&name=Pixel%209")
        await cli.send(BUNDLE)
        await phone.bundle()
        await phone.send({"type": "bundle_ack", "success": False, "error": f"{ERROR}\x1b[2J"})
        await cli.expect("bundle_ack")
        found = await self.diagnose(f"{url(relay)}/mobile/ABC234", option=())
        self.assertFails(found, "bundle", f"Pixel 9 failed: {ERROR}", "could not run it")
        self.assertNotIn("\x1b", found.text("bundle"))
        self.assertEqual(found.figures("bundle")["phones"][0]["state"], "failed")

    async def test_no_phone(self) -> None:
        relay, node = await self.stage()
        await node.join("cli", "ABC234")
        found = await self.diagnose(url(relay), "--session", "ABC234")
        self.assertFails(found, "phones", "no phone is there", "letter for letter")

    async def test_nobody(self) -> None:
        relay = await self.relay()
        found = await self.diagnose(url(relay), "--session", "abc234")
        self.assertFails(found, "session", "nobody is in abc234", "ABC234 was probably meant")
        self.assertEqual(found.states("skipped")[-5:], SESSION_CHECKS[1:])

    async def test_no_cli(self) -> None:
        relay, node = await self.stage("--spool-dir", "off")
        await node.join("mobile", "ABC234")
        found = await self.diagnose(url(relay), "--session", "ABC234")
        self.assertEqual(found.states("warning"), ["clients"], repr(found.child))
        self.assertEqual(found.exit_code, 0)

    async def test_a_claimed_session(self) -> None:
        relay, node = await self.stage()
        await node.join("cli", "ABC234", f"key={KEY}&tokens=1")
        found = await self.diagnose(url(relay), "--session", "ABC234")
        self.assertFails(found, "claim", "is claimed, and no secret was shown", "--key @FILE")
        found = await self.diagnose(url(relay), "--session", "ABC234", "--key", OTHER_SESSION_KEY)
        self.assertFails(found, "claim", "refuses that secret", "who claimed it first")
        found = await self.diagnose(url(relay), "--session", "ABC234", "--key", self.key_file())
        self.assertFails(found, "phones", "no phone is there", "letter for letter")
        self.assertIn("phones need a join token", found.text("claim"))
        self.assertNotIn(KEY, found.child.out + found.child.err)

    async def test_join_tokens(self) -> None:
        relay, node = await self.stage()
        await node.join("cli", "ABC234", f"key={KEY}&tokens=1")
        await node.join("mobile", "ABC234", "token=" + token(KEY, 600))
        for one, states, words in (
            (token(KEY, 660), [], "takes it; it is good for another 10 min"),
            (token(KEY, -300), ["token"], "expired 5 min"),
            (token(OTHER_SESSION_KEY, 600), ["token"], "the relay refuses it"),
        ):
            found = await self.diagnose(
                *(url(relay), "--session", "ABC234", "--token", one, "--key", self.key_file())
            )
            self.assertEqual(found.states("failed"), states, repr(found.child))
            self.assertIn(words, found.text("token"))
            self.assertNotIn(one, found.child.out + found.child.err)

    async def test_an_older_relay(self) -> None:
        relay, node = await self.stage()
        cli = await node.join("cli", "ABC234")
        await node.join("mobile", "ABC234", "deviceId=p1&name=Pixel%209")
        await cli.send(BUNDLE)
        await cli.settle()
        older = PathHider(relay.port, b"/session/")
        self.addCleanup(older.stop)
        address = f"ws://127.0.0.1:{older.listening_port}"
        found = await self.diagnose(address, "--session", "ABC234")
        self.assertEqual(found.states("failed"), [], repr(found.child))
        self.assertEqual(found.states("warning"), ["session"])
        self.assertIn("found by other means", found.text("session"))
        self.assertEqual(found.text("phones"), "Pixel 9")
        self.assertIn("not claimed", found.text("claim"))
        self.assertIn("for phones that join later", found.text("kept"))
        self.assertEqual(await cli.settle(), [])
        await node.join("cli", "DEF567", f"key={KEY}&tokens=1")
        found = await self.diagnose(address, "--session", "DEF567")
        self.assertFails(found, "kept", "phones need a join token", "--token")
        self.assertIn("claimed: the session's secret is needed", found.text("claim"))


class ClusterSessionTest(DoctorCase, ClusterCase):
    async def test_a_session_of_another_relay(self) -> None:
        _, (a, b), node = await self.cluster(2)
        cli = await self.join(node, a, "cli")
        phone = await self.join(node, b, "mobile", query="deviceId=p1&name=Pixel%209")
        await cli.send(BUNDLE)
        await phone.bundle()
        await phone.send({"type": "bundle_ack", "success": True})
        await cli.expect("bundle_ack")
        for relay in (a, b):
            found = await self.diagnose(url(relay), "--session", "ABC234")
            self.assertEqual(found.states("failed"), [], repr(found.child))
            self.assertIn("on a", found.text("session"))
            self.assertIn("Pixel 9", found.text("phones"))
            self.assertIn("through b", found.text("phones"))
            self.assertIn("Pixel 9 acknowledged after", found.text("bundle"))
