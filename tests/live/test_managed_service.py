"""What a service allows, refuses and takes: wrong settings, ways to publish, limits, claims."""

import json
import time

from apptuner_relay.access.tokens import sign_token
from apptuner_relay.session.client_url import session_hash
from tests.live.channel_phones import SESSION, ChannelClient
from tests.live.soketi import SECRET
from tests.live.test_managed import ManagedCase, log

CREDENTIAL, OTHER = "a-secret-of-this-session", "a-secret-of-another-one"
LINES = 30


class RefusalTest(ManagedCase):
    """The relay says what is wrong, and everything else goes on."""

    async def check(self, words: str, **url: str) -> None:
        soketi = await self.soketi()
        secret = url.pop("secret", SECRET)
        relay, node = await self.stage("--managed", soketi.url(**url), "--managed-secret", secret)
        await relay.logged(words)
        await self.health(relay, "degraded", "refused")
        cli = await node.join("cli", SESSION)
        old = await node.join("mobile", SESSION, "deviceId=old")
        sent = await cli.push_filler(200_000)
        self.assertEqual((await old.bundle()).code, sent.code)

    async def test_an_unknown_key(self) -> None:
        await self.check("4001", key="unknown")

    async def test_a_wrong_secret(self) -> None:
        await self.check("401", secret="wrong-secret")

    async def test_an_unknown_application(self) -> None:
        await self.check("404", app_id="9")

    async def test_client_events_are_off(self) -> None:
        await self.check("4301", key="quiet-key", app_id="3", secret="quiet-secret")


class PublishTest(ManagedCase):
    async def test_over_http(self) -> None:
        soketi = await self.soketi()
        url = soketi.url(events="http")
        relay, node = await self.stage("--managed", url, "--managed-secret", SECRET)
        clients = await self.pushers()
        cli = await node.join("cli", SESSION)
        phone = await self.phone(clients, relay, soketi.port)
        for n in range(LINES):
            await cli.send({"type": "reload", "n": n})
        await phone.hears("reload", LINES)
        self.assertEqual([one["n"] for one in phone.those("reload")], list(range(LINES)))
        # A service names no sender of these.
        self.assertEqual({one["user"] for one in phone.pusher.those("told")}, {None})

    async def test_a_long_log_is_cut(self) -> None:
        soketi, relay, node, clients = await self.on_soketi()
        page = ChannelClient(clients, relay, soketi.port, role="dashboard")
        await page.hears("connected")
        old = await node.join("mobile", SESSION, "deviceId=old")
        await old.send({"type": "console_log", "payload": {"level": "log", "args": ["x" * 50_000]}})
        await old.send(log(1))
        await page.hears("console_log", 2)
        [[text], [n]] = [one["payload"]["args"] for one in page.those("console_log")]
        self.assertRegex(text, r"^x{7000,9000}… \[cut: \d+ bytes\]$")
        self.assertEqual(n, 1)


class ClaimTest(ManagedCase):
    async def test_a_claimed_session_with_tokens(self) -> None:
        soketi, relay, node, clients = await self.on_soketi()
        cli = await node.join("cli", SESSION, f"key={CREDENTIAL}&tokens=1")
        token = sign_token(CREDENTIAL, session_hash(SESSION), time.time() + 999)
        for fields, status in (
            ({"deviceId": "p0"}, 401),
            ({"deviceId": "p0", "token": sign_token(OTHER, session_hash(SESSION), 2**31)}, 403),
            ({"role": "dashboard"}, 401),
            ({"role": "cli", "key": OTHER}, 403),
        ):
            client = ChannelClient(clients, relay, soketi.port, **fields)
            self.assertEqual((await client.pusher.happens("refused"))["status"], status, fields)
        await self.phone(clients, relay, soketi.port, token=token)
        self.assertEqual((await cli.expect("mobile_connected")).data["deviceId"], "p1")
        page = ChannelClient(clients, relay, soketi.port, role="dashboard", key=CREDENTIAL)
        await page.hears("connected")
        everything = json.dumps(page.pusher.events)
        for secret in (CREDENTIAL, token, SESSION):
            self.assertNotIn(secret, everything)
            self.assertNotIn(secret, relay.log)
