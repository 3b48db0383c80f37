"""The JavaScript kit against a real relay: in Node with ``ws``, in a newer Node with that and with
its own WebSocket, in Bun with its own, in Chromium, and over a channel of the relay."""

import random
from typing import Any

from apptuner_relay.access.tokens import sign_token
from apptuner_relay.session.client_url import session_hash
from tests.live.browser import missing as missing_browser
from tests.live.clients import missing
from tests.live.cutting_proxy import CuttingProxy
from tests.live.harness import LiveCase
from tests.live.kit_clients import SESSION, Code, KitClient, KitPage, KitProcess
from tests.live.processes import RelayProcess, http
from tests.live.soketi import SECRET as SOKETI_SECRET
from tests.live.soketi import SoketiProcess, missing_soketi

SHORT = Code(200)
LONG = Code(60_000)
"""Above 512 Ki characters: whole, it goes in chunks."""
LONG_SAVED = LONG.change(n7="var seven = '🛒';")
HEAVY = Code(20, tail=f"// {random.Random(1).randbytes(700_000).hex()}")
"""Compressed, it is half as long."""
OTHER = Code(3000, {n: f"const other{n} = {n * 7919};" for n in range(3000)})
"""Another program."""
SECRET = "a-secret-of-this-session"
FLOOD = 3000


class KitCase(LiveCase):
    skip = missing()

    async def kit(self, runtime: str = "node", socket: str | None = None) -> KitProcess:
        kit = KitProcess(runtime, socket)
        self.addCleanup(kit.stop)
        await kit.ready()
        return kit

    def url(self, relay: RelayProcess) -> str:
        return f"ws://127.0.0.1:{relay.port}"

    def phone(
        self, kit: KitProcess | KitPage, relay: RelayProcess, name: str = "p1", **options: Any
    ) -> KitClient:
        more = {"deviceId": name, "deviceName": "Pixel 9", "platform": "android"}
        return kit.start("phone", self.url(relay), **{**more, **options})

    async def save(self, cli: KitClient, code: Code, *phones: KitClient) -> dict[str, Any]:
        """Send a bundle. All of these phones have it in the end."""
        before = len(cli.those("sent"))
        cli.send(code)
        sent = await cli.sent(before + 1)
        self.assertEqual(sent["sha256"], code.sha256)
        for phone in phones:
            await phone.bundle(code)
        return sent


class RuntimesTest(KitCase):
    """Whole, then patches, then whole again, with all that the three kinds of clients hear."""

    async def test_node_with_ws(self) -> None:
        await self.check(await self.kit("node"))

    async def test_a_newer_node(self) -> None:
        await self.check(await self.kit("newer_node"))

    async def test_a_newer_node_with_ws(self) -> None:
        await self.check(await self.kit("newer_node", "ws"))

    async def test_bun(self) -> None:
        await self.check(await self.kit("bun"))

    async def check(self, kit: KitProcess) -> None:
        relay = await self.relay()
        phone = self.phone(kit, relay)
        await phone.in_state("open")
        cli = kit.start("cli", self.url(relay))
        page = kit.start("dashboard", self.url(relay))
        [device] = (await cli.happens("devices"))["devices"]
        self.assertEqual((device["deviceId"], device["name"]), ("p1", "Pixel 9"))
        await page.happens("devices")
        await self.check_saves(cli, phone, page)
        [bundle] = await page.until(lambda: _bundles(page, OTHER))
        self.assertEqual(bundle["size"], len(OTHER.text.encode()))
        phone.log("warn", "café", {"n": 1})
        for one in (cli, page):
            log = (await one.happens("log"))["log"]
            self.assertEqual((log["level"], log["args"]), ("warn", ["café", {"n": 1}]))

    async def check_saves(self, cli: KitClient, phone: KitClient, page: KitClient) -> None:
        first = await self.save(cli, LONG, phone)
        self.assertEqual(first["sent"], "whole")
        self.assertEqual((await phone.bundle(LONG))["from"], "whole")
        self.assertEqual((await phone.happens("label"))["label"], LONG.sha256)
        second = LONG_SAVED
        sent = await self.save(cli, second, phone)
        self.assertEqual(sent["sent"], "patch")
        self.assertLess(sent["bytes"], 1000)
        got = await phone.bundle(second)
        self.assertEqual((got["from"], got["sha256"]), ("patch", second.sha256))
        await page.until(lambda: _bundles(page, LONG_SAVED))
        sent = await self.save(cli, OTHER, phone)
        self.assertEqual(sent["sent"], "whole")
        for one in (cli, page):
            acks = [(await one.happens("ack", n))["ack"] for n in (1, 2, 3)]
            self.assertEqual([ack["success"] for ack in acks], [True] * 3)
            self.assertEqual({ack["deviceId"] for ack in acks}, {"p1"})
            self.assertEqual(acks[1]["sha256"], second.sha256)

    async def test_chromium(self) -> None:
        if (why := missing_browser()) is not None:
            self.skipTest(why)
        chromium = KitPage()
        self.addCleanup(chromium.stop)
        await chromium.ready()
        relay = await self.relay()
        cli = (await self.kit()).start("cli", self.url(relay))
        phone = self.phone(chromium, relay)
        page = chromium.start("dashboard", self.url(relay))
        await phone.in_state("open")
        await page.in_state("open")
        await self.check_saves(cli, phone, page)
        # A browser asks for compressed content, the length of which is another one.
        for code in (LONG_SAVED, OTHER):
            [bundle] = await page.until(lambda code=code: _bundles(page, code))
            self.assertIsNone(bundle["size"])


class SavesTest(KitCase):
    async def test_a_released_phone_beside_one_of_the_kit(self) -> None:
        relay, node = await self.stage()
        old = await node.join("mobile", SESSION, perMessageDeflate=True)
        kit = await self.kit()
        phone = self.phone(kit, relay)
        await phone.in_state("open")
        cli = kit.start("cli", self.url(relay))
        await cli.in_state("open")
        for code, sent in (
            (LONG, "whole"),
            (LONG.change(n3="saved();"), "patch"),
            (LONG.change(n3="again();"), "patch"),
        ):
            self.assertEqual((await self.save(cli, code, phone))["sent"], sent)
            self.assertEqual((await old.bundle()).code.sha256, code.sha256)
        await old.send(
            {"type": "bundle_ack", "success": False, "error": "it is old", "timestamp": 1}
        )
        ack = await cli.until(
            lambda: next((e["ack"] for e in cli.those("ack") if not e["ack"]["success"]), None)
        )
        # The relay says which phone that was: it has made the id up.
        self.assertRegex(ack["deviceId"], r"^[0-9a-f]{16}$")
        self.assertEqual((ack["name"], ack["error"]), (None, "it is old"))

    async def test_a_released_phone_that_comes_late(self) -> None:
        relay, node = await self.stage()
        kit = await self.kit()
        cli = kit.start("cli", self.url(relay))
        phone = self.phone(kit, relay)
        await phone.in_state("open")
        await self.save(cli, LONG, phone)
        # The CLI answers with a patch that changes nothing. The relay makes the whole of it.
        late = await node.join("mobile", SESSION)
        self.assertEqual((await late.bundle()).code.sha256, LONG.sha256)
        self.assertEqual(len(phone.those("bundle")), 1)

    async def test_code_that_fails(self) -> None:
        relay = await self.relay()
        kit = await self.kit()
        phone = self.phone(kit, relay)
        cli = kit.start("cli", self.url(relay))
        await phone.in_state("open")
        await self.save(cli, SHORT.change(n1="// fails with Boom"), phone)
        ack = (await cli.happens("ack"))["ack"]
        self.assertEqual((ack["success"], ack["error"]), (False, "TypeError: Boom"))

    async def test_a_relay_without_a_spool(self) -> None:
        relay = await self.relay("--spool-dir", "off")
        kit = await self.kit()
        phone = self.phone(kit, relay)
        cli = kit.start("cli", self.url(relay))
        await phone.in_state("open")
        for code in (SHORT, LONG, LONG_SAVED):
            self.assertEqual((await self.save(cli, code, phone))["sent"], "whole")

    async def test_a_patch_that_the_relay_refuses(self) -> None:
        relay = await self.relay()
        kit = await self.kit()
        phone = self.phone(kit, relay)
        cli = kit.start("cli", self.url(relay))
        await phone.in_state("open")
        await self.save(cli, LONG, phone)
        # Somebody else's bundle takes the place of the base.
        answer = await http(
            f"tcp:127.0.0.1:{relay.port}", f"/bundles/{SESSION}", "PUT", body=SHORT.text
        )
        self.assertEqual(answer.status, 201)
        await phone.bundle(SHORT)
        code = LONG.change(n9="nine();")
        sent = await self.save(cli, code, phone)
        self.assertEqual(sent["sent"], "whole")
        self.assertGreater(sent["bytes"], len(code.text))

    async def test_a_patch_that_the_phone_can_not_apply(self) -> None:
        relay = await self.relay()
        kit = await self.kit()
        cli = kit.start("cli", self.url(relay), resend=False)
        await self.save(cli, LONG)
        # It has other code than it says.
        have = {"code": LONG.change(n6="mine();").spec, "sha256": LONG.sha256}
        phone = self.phone(kit, relay, have=have)
        await phone.happens("bundle")
        code = LONG.change(n5="ours();")
        self.assertEqual((await self.save(cli, code, phone))["sent"], "patch")
        self.assertEqual((await phone.bundle(code))["from"], "whole")

    async def test_a_phone_that_has_the_code_already(self) -> None:
        relay = await self.relay()
        kit = await self.kit()
        cli = kit.start("cli", self.url(relay))
        await self.save(cli, LONG)
        phone = self.phone(kit, relay, have={"code": LONG.spec, "sha256": LONG.sha256})
        got = await phone.bundle(LONG)
        self.assertEqual((got["from"], got["sha256"]), ("have", LONG.sha256))
        await cli.happens("ack")


class ReconnectsTest(KitCase):
    async def test_a_phone_in_the_middle_of_a_bundle(self) -> None:
        relay = await self.relay()
        proxy = CuttingProxy(relay)
        self.addCleanup(proxy.stop)
        kit = await self.kit()
        cli = kit.start("cli", self.url(relay))
        phone = kit.start("phone", proxy.url(), deviceId="p1")
        await phone.in_state("open")
        proxy.cut_after(300_000, "down")
        await self.save(cli, HEAVY, phone)
        self.assertEqual(proxy.cuts, 1)
        await phone.in_state("open", 2)
        # What it has is whole, and so it can be patched.
        code = HEAVY.change(n2="two();")
        self.assertEqual((await self.save(cli, code, phone))["sent"], "patch")
        self.assertEqual((await phone.bundle(code))["from"], "patch")
        made = {event["digest"] for event in phone.those("bundle")}
        self.assertEqual(made, {HEAVY.sha256, code.sha256})

    async def test_a_cli_in_the_middle_of_a_bundle(self) -> None:
        relay = await self.relay()
        proxy = CuttingProxy(relay)
        self.addCleanup(proxy.stop)
        kit = await self.kit()
        phone = self.phone(kit, relay)
        await phone.in_state("open")
        cli = kit.start("cli", proxy.url())
        await cli.in_state("open")
        proxy.cut_after(300_000, "up")
        sent = await self.save(cli, HEAVY, phone)
        self.assertEqual((proxy.cuts, sent["sent"]), (1, "whole"))
        self.assertGreater(sent["bytes"], len(HEAVY.text))
        self.assertEqual({event["digest"] for event in phone.those("bundle")}, {HEAVY.sha256})

    async def test_the_relay_is_restarted(self) -> None:
        relay = await self.relay()
        kit = await self.kit()
        cli, phone = kit.start("cli", self.url(relay)), self.phone(kit, relay)
        await phone.in_state("open")
        await self.save(cli, LONG, phone)
        await relay.stop()
        await cli.in_state("waiting")
        code = LONG.change(n4="four();")
        cli.send(code)
        again = RelayProcess(["--listen", f"tcp:{relay.port}:interface=127.0.0.1"])
        self.addCleanup(again.stop)
        await again.listening()
        await cli.sent(2)
        await phone.bundle(code)
        self.assertEqual((await self.save(cli, LONG, phone))["sent"], "patch")

    async def test_a_newer_cli_takes_over(self) -> None:
        relay = await self.relay()
        kit = await self.kit()
        first = kit.start("cli", self.url(relay))
        await first.in_state("open")
        second = kit.start("cli", self.url(relay))
        closed = await first.in_state("closed")
        self.assertIn("New CLI", closed["ending"]["reason"])
        first.send(SHORT)
        self.assertIn("New CLI", (await first.happens("unsent"))["error"])
        await self.save(second, SHORT)


class AccessTest(KitCase):
    async def test_node_with_ws(self) -> None:
        await self.check("node")

    async def test_a_newer_node(self) -> None:
        await self.check("newer_node")

    async def test_bun(self) -> None:
        await self.check("bun")

    async def check(self, runtime: str) -> None:
        """A claimed session that takes phones with tokens only."""
        relay = await self.relay()
        kit = await self.kit(runtime)
        cli = kit.start("cli", self.url(relay), secret=SECRET, tokens=True)
        await cli.in_state("open")
        token = sign_token(SECRET, session_hash(SESSION), 2**31)
        phone = self.phone(kit, relay, token=token)
        page = kit.start("dashboard", self.url(relay), secret=SECRET)
        await page.in_state("open")
        await self.save(cli, SHORT, phone)
        await page.happens("ack")
        stranger = self.phone(kit, relay, "p2")
        ended = await stranger.until(
            lambda: next((one for one in stranger.those("state") if one["ending"]), None)
        )
        if runtime == "node":
            self.assertEqual((ended["state"], ended["ending"]["status"]), ("closed", 401))
        self.assertEqual(stranger.those("bundle"), [])
        for secret in (SECRET, token):
            self.assertNotIn(secret, relay.log)

    async def test_a_secret_that_is_wrong(self) -> None:
        relay = await self.relay()
        kit = await self.kit()
        await kit.start("cli", self.url(relay), secret=SECRET).in_state("open")
        wrong = kit.start("cli", self.url(relay), secret=SECRET[::-1])
        wrong.send(SHORT)
        self.assertIn("403", (await wrong.happens("unsent"))["error"])


class LogsTest(KitCase):
    async def test_errors_come_first_out_of_a_flood(self) -> None:
        relay = await self.relay()
        kit = await self.kit()
        page = kit.start("dashboard", self.url(relay))
        phone = self.phone(kit, relay)
        await phone.in_state("open")
        await page.happens("devices")
        phone.log("error", "the one that matters", flood=FLOOD)

        def look() -> int | None:
            levels = [event["log"]["level"] for event in page.those("log")]
            return levels.index("error") if "error" in levels else None

        before = await page.until(look)
        lines = [event["log"] for event in page.those("log")]
        self.assertEqual(lines[before]["args"], ["the one that matters"])
        # Nor has the relay had to drop any: the kit has said how many it dropped itself.
        self.assertLess(before, FLOOD / 4)
        self.assertNotIn("messages a second", str([one["args"] for one in lines]))
        self.assertEqual([one["state"] for one in phone.those("state")], ["connecting", "open"])


class ChannelTest(KitCase):
    """All three on a channel."""

    async def channel(self) -> tuple[RelayProcess, dict[str, str]]:
        """Of the relay itself."""
        relay = await self.relay("--managed", "relay://test-key")
        return relay, {"url": "relay://test-key", "relay": f"http://127.0.0.1:{relay.port}"}

    async def test_saves(self) -> None:
        await self.check_saves(*await self.channel())

    async def test_saves_by_way_of_a_service(self) -> None:
        if (why := missing_soketi()) is not None:
            self.skipTest(why)
        soketi = SoketiProcess()
        self.addCleanup(soketi.remove)
        await soketi.start()
        relay = await self.relay("--managed", soketi.url(), "--managed-secret", SOKETI_SECRET)
        way = {"url": soketi.url(), "relay": f"http://127.0.0.1:{relay.port}"}
        await self.check_saves(relay, way)

    async def check_saves(self, relay: RelayProcess, way: dict[str, str]) -> None:
        node = await self.node(relay)
        kit = await self.kit()
        phone = kit.start("phone", deviceId="p1", deviceName="Pixel 9", **way)
        await phone.in_state("open")
        old = await node.join("mobile", SESSION)
        cli, page = kit.start("cli", **way), kit.start("dashboard", **way)
        await cli.in_state("open")
        await page.in_state("open")
        for code, sent in ((LONG, "whole"), (LONG_SAVED, "patch")):
            self.assertEqual((await self.save(cli, code, phone))["sent"], sent)
            self.assertEqual((await phone.bundle(code))["from"], "url")
            bundle = await old.bundle()
            assert bundle.code is not None
            self.assertEqual(bundle.code.sha256, code.sha256)
            for one in (cli, page):
                await one.until(lambda one=one, code=code: _acknowledged(one, code))
        phone.log("error", "é" * 5000)
        for one in (cli, page):
            [text] = (await one.happens("log"))["log"]["args"]
            self.assertRegex(text, "^é{1000,}")

    async def test_logs_are_joined(self) -> None:
        _, way = await self.channel()
        kit = await self.kit()
        phone, page = kit.start("phone", **way), kit.start("dashboard", **way)
        await phone.in_state("open")
        await page.happens("devices")
        phone.log("error", "the one that matters", flood=FLOOD)
        await page.until(
            lambda: [e for e in page.those("log") if e["log"]["level"] == "error"] or None
        )
        self.assertEqual([one["state"] for one in phone.those("state")], ["connecting", "open"])

    async def test_the_relay_is_restarted(self) -> None:
        relay, way = await self.channel()
        kit = await self.kit()
        phone, cli = kit.start("phone", **way), kit.start("cli", **way)
        await phone.in_state("open")
        await cli.in_state("open")
        await self.save(cli, SHORT, phone)
        await relay.stop()
        await phone.in_state("waiting")
        again = RelayProcess(
            ["--listen", f"tcp:{relay.port}:interface=127.0.0.1", "--managed", "relay://test-key"]
        )
        self.addCleanup(again.stop)
        await again.listening()
        await phone.in_state("open", 2)
        await self.save(cli, SHORT.change(n1="one();"), phone)

    async def test_who_may_not_come_in_is_told(self) -> None:
        _, way = await self.channel()
        kit = await self.kit()
        cli = kit.start("cli", secret=SECRET, tokens=True, **way)
        await cli.in_state("open")
        closed = await kit.start("phone", **way).in_state("closed")
        self.assertEqual(closed["ending"]["status"], 401)
        token = sign_token(SECRET, session_hash(SESSION), 2**31)
        phone = kit.start("phone", token=token, **way)
        await phone.in_state("open")
        await self.save(cli, SHORT, phone)


def _bundles(page: KitClient, code: Code) -> list[dict[str, Any]] | None:
    """What a dashboard was told of a bundle."""
    return [one for one in page.those("bundle") if one["sha256"] == code.sha256] or None


def _acknowledged(client: KitClient, code: Code) -> bool | None:
    """Whether it has heard that this code runs."""
    return any(one["ack"]["sha256"] == code.sha256 for one in client.those("ack")) or None
