"""Clients that misbehave or die, and those who share a session or a relay with them."""

from tests.live.clients import TYPESCRIPT, Client, NodeClients
from tests.live.harness import LiveCase, together
from tests.live.processes import KIB, MIB

BUNDLE_START = '{"type":"bundle_update","payload":{"code":"'


class FaultCase(LiveCase):
    async def session(self, node: NodeClients, *roles: str) -> list[Client]:
        """Clients of one session who have read all that they were told."""
        members = [await node.join(role, "ABC234") for role in roles]
        for member in members:
            await member.settle()
        return members

    async def assertWorks(self, sender: Client, receiver: Client) -> None:
        """A message passes from the one to the other, and it is the next one to come."""
        await sender.send({"type": "still_here"})
        self.assertEqual((await receiver.next()).type, "still_here")


class LostPhoneTest(FaultCase):
    async def test_a_phone_that_dies(self) -> None:
        _, node = await self.stage()
        cli, dashboard, other = await self.session(node, "cli", "dashboard", "mobile")
        phone = await node.join("mobile", "ABC234", "deviceId=d0")
        await together(cli.expect("device_list"), dashboard.expect("device_list"))
        await phone.terminate()
        self.assertEqual((await cli.expect("mobile_disconnected")).data["deviceId"], "d0")
        for member in (cli, dashboard):
            self.assertEqual(len((await member.next()).data["devices"]), 1)
        await self.assertWorks(cli, other)

    async def test_a_phone_whose_connection_is_reset(self) -> None:
        _, node = await self.stage()
        cli, other = await self.session(node, "cli", "mobile")
        phone = await node.join("mobile", "ABC234", "deviceId=d0")
        await cli.expect("device_list")
        await phone.reset()
        await cli.expect("mobile_disconnected")
        await cli.expect("device_list")
        await self.assertWorks(cli, other)

    async def test_a_phone_that_vanishes_silently(self) -> None:
        _, node = await self.stage("--ping-interval", "1", "--tune", "ping-timeout=1")
        cli, other = await self.session(node, "cli", "mobile")
        phone = await node.join("mobile", "ABC234", "deviceId=d0")
        await cli.expect("device_list")
        await phone.pause()
        self.assertEqual((await cli.expect("mobile_disconnected")).data["deviceId"], "d0")
        await cli.expect("device_list")
        await self.assertWorks(cli, other)
        await self.assertWorks(other, cli)

    async def test_a_phone_that_dies_in_the_middle_of_a_bundle_it_is_sent(self) -> None:
        _, node = await self.stage()
        cli, other = await self.session(node, "cli", "mobile")
        phone = await node.join("mobile", "ABC234", "deviceId=d0")
        await cli.expect("device_list")
        await phone.pause()
        code = await cli.start_filler(40_000_000)
        # How far it gets before the paused one holds it up is the kernel's to say.
        await other.bytes_arrived(64 * KIB)
        await phone.terminate()
        # Nobody holds up the rest any more.
        self.assertEqual((await other.bundle()).code, code)
        await cli.expect("mobile_disconnected")

    async def test_a_phone_that_dies_in_the_middle_of_what_it_sends(self) -> None:
        _, node = await self.stage()
        cli, other = await self.session(node, "cli", "mobile")
        phone = await node.join("mobile", "ABC234", "deviceId=d0")
        await cli.expect("device_list")
        await phone.send_half('{"type":"console_log","payload":{"args":["', claim=1000)
        await phone.terminate()
        # The CLI gets no half message; whether it is told by a clean close is the relay's to say.
        await cli.expect("mobile_disconnected")
        await self.assertWorks(cli, other)


class CutShortTest(FaultCase):
    """A CLI that dies in the middle of a bundle."""

    async def test_a_whole_bundle_whose_sender_dies(self) -> None:
        await self.die(reset=False)

    async def test_a_whole_bundle_whose_sender_is_reset(self) -> None:
        await self.die(reset=True)

    async def die(self, reset: bool) -> None:
        relay, node = await self.stage()
        dashboard, phone, other = await self.session(node, "dashboard", "mobile", "mobile")
        cli = await node.join("cli", "ABC234")
        await dashboard.settle()
        await cli.send_half(BUNDLE_START + "x" * MIB, claim=9 * MIB)
        await together(phone.bytes_arrived(MIB // 2), other.bytes_arrived(MIB // 2))
        await (cli.reset() if reset else cli.terminate())

        for victim in (phone, other):
            code, reason = await victim.closed()
            self.assertEqual(code, 1011)
            self.assertIn("cut short", reason)
        told = [(await dashboard.next()).type for _ in range(4)]
        self.assertEqual(told.count("cli_disconnected"), 1)
        self.assertEqual(told.count("mobile_disconnected"), 1)
        self.assertEqual(told.count("device_list"), 2)
        self.assertEqual(await dashboard.settle(), [])
        await relay.logged("cut short")

        # The session goes on: both come back, and the phone gets its bundle.
        phone = await node.join("mobile", "ABC234")
        cli = await node.join("cli", "ABC234")
        await cli.expect("mobile_connected")
        sent = await cli.push(TYPESCRIPT)
        self.assertEqual((await phone.bundle()).code, sent.code)
        await phone.send({"type": "bundle_ack", "success": True})
        await together(cli.expect("bundle_ack"), dashboard.expect("bundle_ack"))

    async def test_a_sender_whose_place_is_taken(self) -> None:
        _, node = await self.stage()
        (phone,) = await self.session(node, "mobile")
        first = await node.join("cli", "ABC234")
        await first.send_half(BUNDLE_START + "x" * MIB, claim=9 * MIB)
        await phone.bytes_arrived(MIB // 2)
        second = await node.open("cli", "ABC234")
        code, reason = await phone.closed()
        self.assertEqual(code, 1011)
        self.assertIn("cut short", reason)
        # It is welcomed before it hears anything else, and is left knowing of no phone.
        told = await second.settle()
        self.assertEqual(told[0].type, "connected")
        known = set()
        for message in told[1:]:
            if message.type == "mobile_connected":
                known.add(message.data["deviceId"])
            elif message.type == "mobile_disconnected":
                known.discard(message.data["deviceId"])
            elif message.type == "device_list":
                known = {device["deviceId"] for device in message.data["devices"]}
        self.assertEqual(known, set())
        self.assertEqual(await first.closed(), (1000, "New CLI connected for this project"))
        phone = await node.join("mobile", "ABC234")
        sent = await second.push_filler(MIB)
        self.assertEqual((await phone.bundle()).code, sent.code)

    async def test_a_bundle_for_one_device(self) -> None:
        # Only who was to get it is closed.
        _, node = await self.stage()
        (other,) = await self.session(node, "mobile")
        phone = await node.join("mobile", "ABC234", "deviceId=d0")
        cli = await node.join("cli", "ABC234")
        start = '{"type":"bundle_update","targetDeviceId":"d0","payload":{"code":"'
        await cli.send_half(start + "x" * MIB, claim=9 * MIB)
        await phone.bytes_arrived(MIB // 2)
        await cli.terminate()
        self.assertEqual((await phone.closed())[0], 1011)
        self.assertEqual(await other.settle(), [])

    async def test_a_relay_that_stops(self) -> None:
        relay, node = await self.stage()
        members = await self.session(node, "cli", "dashboard", "mobile")
        await relay.stop()
        for member in members:
            self.assertEqual((await member.closed())[0], 1012)


class BadMessageTest(FaultCase):
    async def test_malformed_json(self) -> None:
        _, node = await self.stage()
        cli, dashboard, phone = await self.session(node, "cli", "dashboard", "mobile")
        await dashboard.settle()
        await cli.settle()
        for sender in (cli, phone):
            for text in ("{nope", '{"a":', "[1]", '"text"', "7", "", "not json"):
                await sender.send(text)
                answer = (await sender.next()).data
                self.assertEqual(answer["type"], "error", text)
                self.assertIsInstance(answer["error"], str)
                self.assertIsInstance(answer["timestamp"], int)
        for member in (cli, dashboard, phone):
            self.assertEqual(await member.settle(), [])
        await self.assertWorks(cli, phone)
        await self.assertWorks(phone, cli)

    async def test_text_that_is_not_utf8(self) -> None:
        _, node = await self.stage()
        cli, dashboard, phone = await self.session(node, "cli", "dashboard", "mobile")
        await dashboard.settle()
        culprit = await node.join("mobile", "ABC234", "deviceId=d0")
        await together(cli.expect("device_list"), dashboard.expect("device_list"))
        await culprit.send_frame(1, b'{"type":"x","a":"\xc3\x28"}')
        self.assertEqual((await culprit.closed())[0], 1007)
        await cli.expect("mobile_disconnected")
        await cli.expect("device_list")
        await self.assertWorks(cli, phone)
        await self.assertWorks(phone, cli)

    async def test_a_cli_whose_text_is_not_utf8(self) -> None:
        _, node = await self.stage()
        phone, dashboard = await self.session(node, "mobile", "dashboard")
        cli = await node.join("cli", "ABC234")
        await cli.send_frame(1, b'{"type":"x","a":"\xff"}')
        self.assertEqual((await cli.closed())[0], 1007)
        await dashboard.expect("cli_disconnected")
        # A short message is seen to be bad before any of it has left.
        self.assertEqual(await phone.settle(), [])
        await self.assertWorks(dashboard, phone)

    async def test_a_character_cut_off_by_the_end(self) -> None:
        _, node = await self.stage()
        (cli,) = await self.session(node, "cli")
        await cli.send_frame(1, '{"type":"x"}ü'.encode()[:-1])
        self.assertEqual((await cli.closed())[0], 1007)

    async def test_a_bundle_that_is_not_utf8_somewhere(self) -> None:
        # What came before has left already, so the phone is closed too, and comes back.
        _, node = await self.stage()
        phone, dashboard = await self.session(node, "mobile", "dashboard")
        cli = await node.join("cli", "ABC234")
        await cli.send_frame(1, BUNDLE_START.encode() + b"x" * MIB + b'\xff"}}')
        self.assertEqual((await cli.closed())[0], 1007)
        self.assertEqual((await phone.closed())[0], 1011)
        phone = await node.join("mobile", "ABC234")
        await self.assertWorks(dashboard, phone)

    async def test_a_frame_that_is_none(self) -> None:
        _, node = await self.stage()
        phone, dashboard = await self.session(node, "mobile", "dashboard")
        cli = await node.join("cli", "ABC234")
        await cli.send_frame(3, b"reserved opcode")
        self.assertEqual((await cli.closed())[0], 1002)
        await dashboard.expect("cli_disconnected")
        await self.assertWorks(dashboard, phone)


class TooBigTest(FaultCase):
    async def test_a_message_above_the_limit(self) -> None:
        _, node = await self.stage("--max-message", "1MiB")
        phone, dashboard = await self.session(node, "mobile", "dashboard")
        cli = await node.join("cli", "ABC234")
        await cli.start_filler(2 * MIB)
        self.assertEqual((await cli.closed())[0], 1009)
        await dashboard.expect("cli_disconnected")
        # Its header told its length: nothing of it was passed on.
        self.assertEqual(await phone.settle(), [])
        await self.assertWorks(dashboard, phone)

    async def test_fragments_that_add_up_above_the_limit(self) -> None:
        _, node = await self.stage("--max-message", "1MiB")
        phone, dashboard = await self.session(node, "mobile", "dashboard")
        cli = await node.join("cli", "ABC234")
        await cli.send_frame(1, BUNDLE_START.encode() + b"x" * 600_000, fin=False)
        await cli.send_frame(0, b"x" * 600_000, fin=True)
        self.assertEqual((await cli.closed())[0], 1009)
        self.assertEqual((await phone.closed())[0], 1011)
        phone = await node.join("mobile", "ABC234")
        await dashboard.settle()
        await self.assertWorks(dashboard, phone)

    async def test_a_message_at_the_limit(self) -> None:
        _, node = await self.stage("--max-message", "1MiB")
        cli, phone = await self.session(node, "cli", "mobile")
        await cli.settle()
        text = '{"type":"x","a":"%s"}' % ("y" * (MIB - 19))
        self.assertEqual(len(text), MIB)
        await cli.send(text)
        self.assertEqual((await phone.next()).bytes, MIB)

    async def test_the_limit_of_today(self) -> None:
        # 50 MiB, no more and no less.
        _, node = await self.stage()
        phone, dashboard = await self.session(node, "mobile", "dashboard")
        cli = await node.join("cli", "ABC234")
        await dashboard.settle()
        await cli.send_half('{"type":"x"}', claim=50 * MIB)
        await phone.bytes_arrived(1)
        self.assertFalse(cli.is_closed)
        await cli.terminate()
        await dashboard.expect("cli_disconnected")
        cli = await node.join("cli", "ABC234")
        await cli.send_half('{"type":"x"}', claim=50 * MIB + 1)
        self.assertEqual((await cli.closed())[0], 1009)
