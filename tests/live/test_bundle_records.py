"""What the log says of bundles: with real sockets, clients of Node's ``ws``, and a real Redis."""

import json
from typing import Any

from tests.live.clients import Client, NodeClients
from tests.live.cluster import ClusterCase
from tests.live.harness import LiveCase
from tests.live.processes import RelayProcess
from tests.live.released import Released

JSON_LOG = ("--log-format", "json")
CHARS = 3_000_000
ACK: dict[str, Any] = {"type": "bundle_ack", "success": True}
FAILED: dict[str, Any] = {"type": "bundle_ack", "success": False, "error": "SyntaxError: here"}


async def logged(relay: RelayProcess, kind: str, text: str, form: str = "whole") -> dict[str, Any]:
    """The first line about a bundle of that form whose message has ``text`` in it."""
    said, fields = rf'"message":"session \w{{8}}: [^"]*{text}', f'"kind":"{kind}".*"form":"{form}"'
    pattern = f"^{{.*{said}.*{fields}.*$"
    found = await relay.logged(pattern)
    fields: dict[str, Any] = json.loads(found.group(0))
    return fields


class OneRelayTest(LiveCase):
    async def join(self, node: NodeClients, role: str, query: str = "", **more: Any) -> Client:
        return await node.join(role, "ABC234", query=query, **more)

    async def goes_to_all(self, *options: str) -> None:
        relay, node = await self.stage(*JSON_LOG, *options)
        cli = await self.join(node, "cli", "acks=1")
        ann = await self.join(node, "mobile", "deviceId=ann&name=Ann&platform=ios")
        bob = await self.join(node, "mobile", "deviceId=bob&name=Bob", perMessageDeflate=True)
        for number, chunked in enumerate((False, True)):
            sent = await cli.push_filler(CHARS + number, chunked)
            for phone in (ann, bob):
                self.assertEqual((await phone.bundle()).code, sent.code)
            await ann.send(ACK)
            await bob.send(FAILED)
            named = [(await cli.expect("bundle_ack")).data for _ in range(2)]
            self.assertEqual(
                {ack["deviceId"]: (ack["deviceName"], ack["success"]) for ack in named},
                {"ann": ("Ann", True), "bob": ("Bob", False)},
            )
            form = "chunks" if chunked else "whole"
            line = await logged(relay, "bundle", "Bob: SyntaxError: here", form)
            self.assertEqual(line["level"], "warn")
        row = line["bundle"]
        self.assertEqual((row["form"], row["state"], row["settled"]), ("chunks", "whole", True))
        self.assertGreater(row["bytes"], CHARS)
        for phone in row["phones"]:
            self.assertLessEqual(0, phone["first_out_s"])
            self.assertLessEqual(phone["first_out_s"], phone["last_out_s"])
            self.assertLessEqual(phone["last_out_s"], phone["answered_s"])
            self.assertGreater(phone["bytes"], 0)
        # A phone may have said so before the relay's last byte was counted; never before it came.
        self.assertLessEqual(row["in_s"], row["acknowledged_s"])

    async def test_with_a_spool(self) -> None:
        await self.goes_to_all()

    async def test_without(self) -> None:
        await self.goes_to_all("--spool-dir", "off")

    async def test_who_never_answers_and_who_leaves_and_who_comes_late(self) -> None:
        relay, node = await self.stage(*JSON_LOG)
        cli = await self.join(node, "cli")
        silent = await self.join(node, "mobile", "deviceId=silent")
        leaver = await self.join(node, "mobile", "deviceId=leaver")
        await cli.push_filler(CHARS)
        for phone in (silent, leaver):
            await phone.bundle()
        await leaver.terminate()
        late = await self.join(node, "mobile", "deviceId=late&replay=1")
        await late.bundle()
        await late.send(ACK)
        line = await logged(relay, "bundle_phone", "late got the cached bundle, .*; acknowledged")
        self.assertEqual((line["phone"]["source"], line["level"]), ("kept", "info"))
        # Half a minute is over.
        line = await logged(relay, "bundle", "silent has not answered")
        states = {phone["deviceId"]: phone["state"] for phone in line["bundle"]["phones"]}
        self.assertEqual(states, {"silent": "sent", "leaver": "left", "late": "acknowledged"})
        await silent.send(ACK)
        await logged(relay, "bundle_phone", "silent got the bundle, .*; acknowledged")

    async def test_a_cli_that_dies_in_the_middle(self) -> None:
        relay, node = await self.stage(*JSON_LOG)
        cli = await self.join(node, "cli")
        phone = await self.join(node, "mobile", "deviceId=ann")
        text = json.dumps({"type": "bundle_update", "payload": {"code": "x" * CHARS}})
        await cli.send_half(text[: CHARS // 2], len(text))
        await phone.bytes_arrived(CHARS // 4)
        await cli.terminate()
        line = await logged(relay, "bundle", "cut short")
        self.assertEqual(line["bundle"]["state"], "cut")
        self.assertEqual(line["bundle"]["phones"][0]["state"], "cut")
        await phone.closed()

    async def test_released_clients_who_say_nothing_of_themselves(self) -> None:
        relay = await self.relay(*JSON_LOG)
        released = Released()
        self.addCleanup(released.stop)
        await released.ready()
        cli = await released.start("cli", relay.url("cli", "ABC234"), bundleChars=CHARS)
        await released.start("mobile", relay.url("mobile", "ABC234"))
        await cli.told("bundle_ack")
        line = await logged(relay, "bundle", "1 of 1 phone in .*; acknowledged", "chunks")
        (phone,) = line["bundle"]["phones"]
        self.assertEqual((phone["name"], phone["state"]), (None, "acknowledged"))

    async def test_a_burst_of_tiny_bundles(self) -> None:
        relay, node = await self.stage("--log-bundles", "on")
        cli = await self.join(node, "cli")
        phone = await self.join(node, "mobile", "deviceId=ann")
        await cli.send_burst({"type": "bundle_update", "n": n} for n in range(5000))
        await cli.send({"type": "reload"})
        # It is behind, and gets fewer bundles than were sent.
        await phone.expect("reload")
        await phone.send(ACK)
        await relay.logged(r"session \w{8}: \d+ more lines like this were not logged")
        lines = [one for one in relay.log.splitlines() if ": bundle " in one]
        self.assertLess(len(lines), 100)


class TwoRelaysTest(ClusterCase):
    async def test_all_is_recorded_where_the_session_is(self) -> None:
        _, (a, b), node = await self.cluster(2, *JSON_LOG)
        await self.join(node, a, "dashboard")
        cli = await self.join(node, b, "cli", query="acks=1")
        near = await self.join(node, a, "mobile", query="deviceId=near&name=Near")
        far = await self.join(node, b, "mobile", query="deviceId=far&name=Far")
        sent = await cli.push_filler(CHARS)
        for phone in (near, far):
            self.assertEqual((await phone.bundle()).code, sent.code)
        await near.send(ACK)
        await far.send(FAILED)
        named = {(await cli.expect("bundle_ack")).data["deviceName"] for _ in range(2)}
        self.assertEqual(named, {"Near", "Far"})
        row = (await logged(a, "bundle", "2 of 2 phones in .*Far: SyntaxError: here"))["bundle"]
        self.assertEqual(row["sender"], {"role": "cli", "address": "127.0.0.1"})
        self.assertNotIn('"kind":"bundle"', b.log)
