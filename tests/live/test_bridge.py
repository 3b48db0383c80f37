"""A session whose clients are connected to different relays."""

import socket

from twisted.internet.threads import deferToThread

from apptuner_relay.wire.frames import CLOSE, TEXT
from tests.live.clients import TYPESCRIPT, Client
from tests.live.cluster import ClusterCase, owner_in
from tests.live.floods import errors_in, flood, lines_in
from tests.live.harness import together
from tests.live.processes import MIB
from tests.live.test_bundles import SPOOL_BACKLOG_BYTES, BundleCase
from tests.memory import HANDSHAKE, masked


class BundleTest(ClusterCase, BundleCase):
    async def test_from_either_side(self) -> None:
        redis, (a, b), node = await self.cluster(2)
        cli = await self.join(node, a, "cli", perMessageDeflate=True)
        phones = [
            await self.join(node, b, "mobile", query="deviceId=d1"),
            await self.join(node, b, "mobile", query="deviceId=d2", perMessageDeflate=True),
            await self.join(node, a, "mobile", query="deviceId=d3"),
        ]
        away = await self.join(node, b, "dashboard")
        self.assertEqual(owner_in(redis), "a")
        for sender in (cli, away):
            for chunked in (False, True):
                sent = await sender.push(TYPESCRIPT, chunked)
                await together(*(self.receive(phone, sent) for phone in phones))
        await phones[0].send({"type": "bundle_ack", "success": True})
        for sender in (cli, away):
            await sender.expect("bundle_ack")

    async def test_a_phone_that_reads_nothing_costs_neither_relay_the_bundle(self) -> None:
        _, relays, node = await self.cluster(2)
        a, b = relays
        cli = await self.join(node, a, "cli")
        phone = await self.join(node, b, "mobile")
        # What a first bundle makes them allocate for good is not what this is about.
        await self.receive(phone, await cli.push_filler(4 * MIB))
        before = [relay.peak_rss() for relay in relays]
        await phone.pause()
        code = await cli.start_filler(48 * MIB)
        await phone.bytes_arrived(1)
        await phone.resume()
        self.assertEqual((await phone.bundle()).code, code)
        for relay, rss in zip(relays, before, strict=True):
            self.assertLess(relay.peak_rss() - rss, SPOOL_BACKLOG_BYTES + 10 * MIB)

    async def test_who_joins_late_gets_the_last_one_from_the_other_relay(self) -> None:
        _, (a, b), node = await self.cluster(2)
        cli = await self.join(node, a, "cli")
        sent = await cli.push(TYPESCRIPT)
        await cli.settle()
        await cli.close()
        await cli.closed()
        late = await self.join(node, b, "mobile")
        await self.receive(late, sent)


class SessionTest(ClusterCase):
    async def test_messages_stay_in_order(self) -> None:
        _, (a, b), node = await self.cluster(2, "--message-rate", "0")
        cli = await self.join(node, a, "cli")
        phone = await self.join(node, b, "mobile")
        await cli.expect("device_list")
        count = 2000
        for sender, reader in ((phone, cli), (cli, phone)):
            await sender.send_burst({"type": "console_log", "n": n} for n in range(count))
            got = await reader.take(count)
            self.assertEqual([message.data["n"] for message in got], list(range(count)))

    async def test_errors_in_a_flood_of_logs(self) -> None:
        _, (a, b), node = await self.cluster(2)
        for near, far in ((a, b), (b, a)):
            cli = await self.join(node, near, "cli")
            phone = await self.join(node, far, "mobile")
            await cli.expect("device_list")
            await phone.send_burst(flood(1500, errors=(300, 600, 900, 1200, 1498)))
            await phone.terminate()
            await cli.expect("mobile_disconnected")
            self.assertEqual(errors_in(cli), [300, 600, 900, 1200, 1498])
            self.assertEqual(lines_in(cli)[-50:], list(range(1450, 1500)))
            await cli.close()
            await cli.closed()

    async def test_a_takeover_from_the_other_relay(self) -> None:
        _, (a, b), node = await self.cluster(2)
        first = await self.join(node, a, "cli")
        phone = await self.join(node, b, "mobile")
        second = await self.join(node, b, "cli")
        self.assertEqual(await first.closed(), (1000, "New CLI connected for this project"))
        third = await self.join(node, a, "cli")
        self.assertEqual(await second.closed(), (1000, "New CLI connected for this project"))
        await third.send({"type": "hello"})
        await phone.expect("hello")

    async def test_a_sixth_phone_on_any_relay(self) -> None:
        _, (a, b), node = await self.cluster(2)
        for n in range(5):
            await self.join(node, (a, b)[n % 2], "mobile")
        for relay in (a, b):
            refusal = await node.refused("mobile", "ABC234", url=relay.url("mobile", "ABC234"))
            self.assertEqual(refusal.status, 403)
            self.assertIn("already has 5 phones", refusal.json()["error"])

    async def test_who_is_told_what(self) -> None:
        _, (a, b), node = await self.cluster(2)
        cli = await self.join(node, a, "cli")
        query = "deviceId=d1&name=My%20phone&platform=android"
        phone = await self.join(node, b, "mobile", query=query)
        told = (await cli.expect("mobile_connected")).data
        self.assertEqual((told["deviceId"], told["deviceName"]), ("d1", "My phone"))
        await cli.expect("device_list")
        await self.join(node, b, "desktop")
        await phone.expect("desktop_connected")
        await phone.close()
        await cli.expect("mobile_disconnected")

    async def test_to_one_device(self) -> None:
        _, (a, b), node = await self.cluster(2)
        near = await self.join(node, a, "mobile", query="deviceId=near")
        far = await self.join(node, b, "mobile", query="deviceId=far")
        cli = await self.join(node, b, "cli")
        await cli.send({"type": "reload", "targetDeviceId": "far"})
        await far.expect("reload")
        await cli.send({"type": "reload", "targetDeviceId": "nobody"})
        error = (await cli.expect("error")).data
        self.assertEqual(error["error"], "Device nobody is not connected")
        self.assertEqual(await near.settle(), [])

    async def test_pings_and_binary_messages(self) -> None:
        _, (a, b), node = await self.cluster(2)
        cli = await self.join(node, a, "cli")
        phone = await self.join(node, b, "mobile")
        await phone.settle()
        await phone.ping("are you there")
        self.assertEqual(await phone.pong(), "are you there")
        await cli.send_binary(bytes(range(256)) * 1024)
        self.assertTrue((await phone.next()).binary)

    async def test_a_session_nobody_is_in_is_given_back(self) -> None:
        redis, (a, b), node = await self.cluster(2, "--spool-dir", "off")
        cli = await self.join(node, a, "cli")
        phone = await self.join(node, b, "mobile")
        self.assertEqual(owner_in(redis), "a")
        for client in (cli, phone):
            await client.close()
            await client.closed()
        await a.logged("mobile disconnected")
        await self.join(node, b, "mobile")
        self.assertEqual(owner_in(redis), "b")

    async def test_a_timed_out_session(self) -> None:
        _, (a, b), node = await self.cluster(2, "--session-timeout", "2s")
        clients = [await self.join(node, a, "cli"), await self.join(node, b, "mobile")]
        for client in clients:
            self.assertEqual(await client.closed(), (1000, "Session timeout"))


class CutTest(ClusterCase):
    """Clients that die, and what the others see of it through the other relay."""

    async def cut_short(self, phone: Client) -> None:
        code, reason = await phone.closed()
        self.assertEqual(code, 1011)
        self.assertIn("cut short", reason)

    async def test_the_cli_dies_in_mid_message(self) -> None:
        _, (a, b), node = await self.cluster(2)
        near = await self.join(node, a, "mobile")
        far = await self.join(node, b, "mobile")
        # The session is a's. On either side of the bridge:
        cli = await self.join(node, b, "cli")
        await cli.send_half('{"type":"bundle_update","payload":{"code":"' + "x" * MIB, 4 * MIB)
        await together(near.bytes_arrived(MIB // 2), far.bytes_arrived(MIB // 2))
        await cli.terminate()
        await together(self.cut_short(near), self.cut_short(far))

    async def test_what_comes_with_a_close_is_passed_on(self) -> None:
        _, (a, b), node = await self.cluster(2)
        cli = await self.join(node, a, "cli")
        for relay in (a, b):
            await deferToThread(say_and_close, relay.port, b'{"type":"last_words"}')
            await cli.expect("last_words")
            await cli.expect("mobile_disconnected")

    async def test_a_message_that_is_too_big(self) -> None:
        _, (a, b), node = await self.cluster(2, "--max-message", "1MiB")
        phone = await self.join(node, a, "mobile")
        cli = await self.join(node, b, "cli")
        await cli.send({"type": "x", "data": "x" * (2 * MIB)})
        self.assertEqual((await cli.closed())[0], 1009)
        await phone.settle()


def say_and_close(port: int, text: bytes) -> None:
    """A phone that sends a message and its Close in one write, and waits for the relay's."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as phone:
        phone.sendall(HANDSHAKE.format(target="/mobile/ABC234", extra="").encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += phone.recv(1)
        phone.sendall(masked(TEXT, text) + masked(CLOSE, b"\x03\xe8"))
        while phone.recv(4096):
            pass


class PeerTest(ClusterCase):
    async def test_who_has_no_pass_is_refused(self) -> None:
        _, (a,), node = await self.cluster(1)
        path = "peer/mobile/" + "0" * 64
        refusal = await node.refused("mobile", "x", url=f"ws://127.0.0.1:{a.port}/{path}")
        self.assertEqual(refusal.status, 401)
        await a.logged("refused .* as another relay")
        path = "peer/handover/" + "0" * 64
        refusal = await node.refused("mobile", "x", url=f"ws://127.0.0.1:{a.port}/{path}")
        self.assertEqual(refusal.status, 401)
        reply = await a.get("/" + path)
        self.assertEqual(reply.status, 404)

    async def test_relays_of_different_secrets_do_not_meet(self) -> None:
        redis, (a,), node = await self.cluster(1)
        b = await self.relay(
            *("--redis", redis.url, "--node", "b", "--cluster-secret", "another-secret")
        )
        await self.join(node, a, "cli")
        refusal = await node.refused("mobile", "ABC234", url=b.url("mobile", "ABC234"))
        self.assertEqual(refusal.status, 503)
        await b.logged("can't be reached: The pass is not good")
