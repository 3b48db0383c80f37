"""What is forwarded, to whom, and in which order, as Node's ``ws`` sees it."""

import hashlib
import json

from tests.live.clients import Client, Message, NodeClients
from tests.live.harness import LiveCase, together


class RouteTest(LiveCase):
    """What is forwarded, and to whom."""

    async def test_from_the_desktop_side_to_every_phone_and_nobody_else(self) -> None:
        _, node = await self.stage()
        cli, dashboard, desktop = await self.desktop_side(node)
        phones = await together(*(node.join("mobile", "ABC234") for _ in range(3)))
        for member in (cli, dashboard, desktop):
            await member.settle()
        for sender in (cli, dashboard, desktop):
            text = json.dumps({"type": "anything", "from": sender.role, "n": 1.50})
            await sender.send(text)
            for phone in phones:
                self.assertEqual((await phone.next()).text, text)
        for member in (cli, dashboard, desktop):
            self.assertEqual(await member.settle(), [])

    async def test_from_a_phone_to_the_desktop_side_and_nobody_else(self) -> None:
        _, node = await self.stage()
        members = await self.desktop_side(node)
        phone, other = await together(*(node.join("mobile", "ABC234") for _ in range(2)))
        for member in members:
            await member.settle()
        texts = [
            '{"type":"console_log","payload":{"level":"warn","args":["ü",{"a":[1]}]}}',
            '{ "type" : "bundle_ack", "success": true }',
            '{"payload":1,"type":"custom"}',
        ]
        for text in texts:
            await phone.send(text)
        for member in members:
            self.assertEqual([m.text for m in await member.take(3)], texts)
        self.assertEqual(await other.settle(), [])
        self.assertEqual(await phone.settle(), [])

    async def test_to_one_device(self) -> None:
        _, node = await self.stage()
        cli = await node.join("cli", "ABC234")
        phones = [await node.join("mobile", "ABC234", f"deviceId=d{i}") for i in range(3)]
        for message in (
            {"type": "reload", "targetDeviceId": "d1"},
            {"targetDeviceId": "d1", "type": "reload"},
        ):
            await cli.send(message)
            self.assertEqual((await phones[1].next()).data, message)
        sent = await cli.push_filler(1_000_000)
        for phone in phones:
            # What came first was for the one, and the bundle is for all.
            arrived = await phone.next()
            self.assertEqual(arrived.code, sent.code)

    async def test_a_bundle_for_one_device(self) -> None:
        _, node = await self.stage()
        cli = await node.join("cli", "ABC234")
        phones = [await node.join("mobile", "ABC234", f"deviceId=d{i}") for i in range(2)]
        for chunked in (False, True):
            sent = await cli.push_filler(1_500_000, chunked, targetDeviceId="d0")
            self.assertEqual((await phones[0].bundle()).code, sent.code)
        for phone in phones:
            self.assertEqual(await phone.settle(), [])

    async def test_to_an_unknown_device(self) -> None:
        _, node = await self.stage()
        cli = await node.join("cli", "ABC234")
        phone = await node.join("mobile", "ABC234", "deviceId=d0")
        await cli.expect("device_list")
        await cli.send({"type": "reload", "targetDeviceId": "d9"})
        answer = (await cli.next()).data
        self.assertEqual(answer["type"], "error")
        self.assertIsInstance(answer["error"], str)
        self.assertIsInstance(answer["timestamp"], int)
        self.assertEqual(await phone.settle(), [])

    async def test_with_no_phone(self) -> None:
        _, node = await self.stage()
        cli = await node.join("cli", "ABC234")
        # They come in one piece, so within the second in which one answer is enough.
        await cli.send_burst([{"type": "reload", "n": n} for n in range(5)])
        answers = await cli.settle()
        self.assertEqual([answer.type for answer in answers], ["error"])
        self.assertEqual(answers[0].data["error"], "Mobile device not connected")

    async def test_a_bundle_with_no_phone(self) -> None:
        _, node = await self.stage()
        cli = await node.join("cli", "ABC234")
        await cli.push_filler(1_000_000)
        await cli.push_filler(1_000_000, chunked=True)
        self.assertEqual(await cli.settle(), [])

    async def test_a_phone_with_no_desktop_side(self) -> None:
        _, node = await self.stage()
        phone = await node.join("mobile", "ABC234")
        await phone.send({"type": "console_log", "payload": {}})
        self.assertEqual(await phone.settle(), [])

    async def test_binary(self) -> None:
        _, node = await self.stage()
        cli, phone = await together(node.join("cli", "ABC234"), node.join("mobile", "ABC234"))
        await phone.settle()
        data = bytes(range(256)) * 4
        await cli.send_binary(data)
        self.assertBinary(await phone.next(), data)
        await cli.settle()
        for data in (b"\xff\x00{not text", b"", b"\x01" * 100_000):
            await phone.send_binary(data)
            self.assertBinary(await cli.next(), data)

    async def test_json_without_a_type(self) -> None:
        _, node = await self.stage()
        cli, phone = await together(node.join("cli", "ABC234"), node.join("mobile", "ABC234"))
        await cli.settle()
        for text in ("{}", '{"a": {"type": "ping"}}', '{"type": 7}', " \n{}"):
            await cli.send(text)
            self.assertEqual((await phone.next()).text, text)
            await phone.send(text)
            self.assertEqual((await cli.next()).text, text)

    async def test_a_message_in_fragments(self) -> None:
        _, node = await self.stage()
        cli, phone = await together(node.join("cli", "ABC234"), node.join("mobile", "ABC234"))
        parts = ('{"ty', 'pe":"frag', "ment", '","text":"Stück ', '🚀"}')
        await cli.send_fragments(*parts)
        self.assertEqual((await phone.next()).text, "".join(parts))
        await cli.settle()
        await cli.send_fragments('{"type"', ':"ping"', "}")
        await cli.expect("pong")
        self.assertEqual(await phone.settle(), [])

    def assertBinary(self, message: Message, data: bytes) -> None:
        self.assertTrue(message.binary)
        self.assertEqual(message.bytes, len(data))
        self.assertEqual(message.sha256, hashlib.sha256(data).hexdigest())

    async def desktop_side(self, node: NodeClients) -> list[Client]:
        return await together(
            *(node.join(role, "ABC234") for role in ("cli", "dashboard", "desktop"))
        )


class OrderTest(LiveCase):
    """Everybody talks at once."""

    MESSAGES = 200

    async def test_each_sender_in_its_order_at_each_receiver(self) -> None:
        _, node = await self.stage()
        desktop_side = await together(
            node.join("cli", "ABC234", perMessageDeflate=True), node.join("dashboard", "ABC234")
        )
        phones = await together(
            *(
                node.join("mobile", "ABC234", f"deviceId=d{i}", perMessageDeflate=i == 1)
                for i in range(3)
            )
        )
        for member in desktop_side:
            await member.settle()
        senders = {member: f"{member.role}{member.id}" for member in (*desktop_side, *phones)}
        # One after the other, so that Node's own order of them is the interleaved one.
        sends = [
            self.say(sender, name, n)
            for n in range(self.MESSAGES)
            for sender, name in senders.items()
        ]
        await together(*sends)
        await self.assertOrder(desktop_side, [senders[phone] for phone in phones])
        await self.assertOrder(phones, [senders[member] for member in desktop_side])

    async def say(self, sender: Client, name: str, n: int) -> None:
        # From 60 bytes to 70 KB: every length of a frame's header, and the relay's pieces.
        filling = "x" * [0, 90, 700, 70_000][n % 4]
        text = json.dumps({"type": "talk", "from": name, "n": n, "filling": filling})
        if n % 7 == 3:
            await sender.send_fragments(text[:40], text[40:50], text[50:])
        else:
            await sender.send(text)

    async def assertOrder(self, receivers: list[Client], names: list[str]) -> None:
        for receiver in receivers:
            heard: dict[str, list[int]] = {name: [] for name in names}
            for message in await receiver.take(self.MESSAGES * len(names)):
                self.assertEqual(message.type, "talk")
                name, n = message.talk or ("", -1)
                heard[name].append(n)
            for name in names:
                self.assertEqual(heard[name], list(range(self.MESSAGES)))
            self.assertEqual(await receiver.settle(), [])
