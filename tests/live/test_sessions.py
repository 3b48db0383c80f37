"""Who is in a session and who is told what, as Node's ``ws`` sees it."""

import hashlib
from typing import Any

from tests.live.clients import Message
from tests.live.harness import LiveCase, together
from tests.live.processes import RelayProcess

TAKEN_OVER = "New CLI connected for this project"


class WelcomeTest(LiveCase):
    async def test_every_role_is_welcomed(self) -> None:
        _, node = await self.stage()
        for role in ("cli", "dashboard", "desktop", "mobile"):
            client = await node.open(role, "ABC234")
            welcome = (await client.next()).data
            self.assertIsInstance(welcome.pop("timestamp"), int)
            session_hash = hashlib.sha256(b"ABC234").hexdigest()
            self.assertEqual(
                welcome, {"type": "connected", "sessionId": session_hash, "clientType": role}
            )

    async def test_the_type_comes_first(self) -> None:
        # Released clients have seen no other order.
        _, node = await self.stage()
        client = await node.open("mobile", "ABC234")
        welcome = await client.next()
        self.assertTrue(str(welcome.text).startswith('{"type":"connected",'), welcome)

    async def test_a_query_string_may_follow(self) -> None:
        _, node = await self.stage()
        client = await node.open("cli", "ABC234", "version=1.2&x=%20")
        await client.expect("connected")

    async def test_session_ids(self) -> None:
        _, node = await self.stage()
        for session in ("a", "A-b_9", "z" * 64):
            welcome = (await (await node.open("cli", session)).next()).data
            self.assertEqual(
                welcome["sessionId"], hashlib.sha256(session.encode("ascii")).hexdigest()
            )

    async def test_session_ids_are_case_sensitive(self) -> None:
        _, node = await self.stage()
        upper = await node.join("cli", "ABC")
        await node.join("cli", "abc")
        self.assertEqual(await upper.settle(), [])


class PingTest(LiveCase):
    async def test_pings_are_answered_and_not_forwarded(self) -> None:
        _, node = await self.stage()
        cli = await node.join("cli", "ABC234")
        dashboard = await node.join("dashboard", "ABC234")
        phone = await node.join("mobile", "ABC234")
        await together(cli.expect("device_list"), dashboard.expect("device_list"))
        for client in (cli, dashboard, phone):
            await client.send({"type": "ping", "timestamp": 1})
            pong = (await client.next()).data
            self.assertEqual(pong["type"], "pong")
            self.assertGreater(pong["timestamp"], 1_600_000_000_000)
        for client in (cli, dashboard, phone):
            self.assertEqual(await client.settle(), [])

    async def test_a_ping_whose_type_does_not_come_first(self) -> None:
        _, node = await self.stage()
        cli, phone = await together(node.join("cli", "ABC234"), node.join("mobile", "ABC234"))
        await cli.send('{"timestamp": 12, "type": "ping"}')
        await cli.expect("pong")
        self.assertEqual(await phone.settle(), [])

    async def test_ping_frames(self) -> None:
        _, node = await self.stage()
        cli = await node.join("cli", "ABC234")
        await cli.ping("are you there?")
        self.assertEqual(await cli.pong(), "are you there?")


class NoticeTest(LiveCase):
    """mobile_connected and its kin."""

    async def test_a_phone_that_names_itself(self) -> None:
        _, node = await self.stage()
        cli, dashboard, desktop = await together(
            *(node.join(role, "ABC234") for role in ("cli", "dashboard", "desktop"))
        )
        query = "deviceId=phone-1&name=Zo%C3%AB%27s%20Pixel&platform=android&model=Pixel%209"
        phone = await node.join("mobile", "ABC234", query)
        device = {"deviceId": "phone-1", "deviceName": "Zoë's Pixel", "platform": "android"}
        for member in (cli, dashboard, desktop):
            self.assertNotice(await member.next(), "mobile_connected", device)
            listed = self.devices(await member.next())
            self.assertIsInstance(listed[0].pop("connectedAt"), int)
            self.assertEqual(
                listed, [{"deviceId": "phone-1", "name": "Zoë's Pixel", "platform": "android"}]
            )
        await phone.close()
        for member in (cli, dashboard, desktop):
            self.assertNotice(await member.next(), "mobile_disconnected", device)
            self.assertEqual(self.devices(await member.next()), [])

    async def test_a_phone_that_does_not(self) -> None:
        _, node = await self.stage()
        cli = await node.join("cli", "ABC234")
        await node.join("mobile", "ABC234")
        notice = (await cli.next()).data
        self.assertIsNone(notice["deviceName"])
        self.assertIsNone(notice["platform"])
        self.assertTrue(notice["deviceId"])
        (listed,) = self.devices(await cli.next())
        self.assertEqual(listed["deviceId"], notice["deviceId"])

        await node.join("mobile", "ABC234")
        other = (await cli.next()).data
        self.assertNotEqual(other["deviceId"], notice["deviceId"])

    async def test_a_dashboard_that_arrives_after_the_phones(self) -> None:
        _, node = await self.stage()
        for i in range(3):
            await node.join("mobile", "ABC234", f"deviceId=d{i}")
        late = await node.join("dashboard", "ABC234")
        told = [await late.next() for _ in range(4)]
        self.assertTypes(told, ["mobile_connected"] * 3 + ["device_list"])
        self.assertEqual([m.data["deviceId"] for m in told[:3]], ["d0", "d1", "d2"])
        self.assertEqual([d["deviceId"] for d in self.devices(told[3])], ["d0", "d1", "d2"])

    async def test_a_cli_that_arrives_after_the_phones_is_told_once(self) -> None:
        # It answers each with a whole bundle for all of them.
        _, node = await self.stage()
        for i in range(3):
            await node.join("mobile", "ABC234", f"deviceId=d{i}")
        late = await node.join("cli", "ABC234")
        told = await late.settle()
        self.assertTypes(told, ["mobile_connected", "device_list"])
        self.assertEqual(told[0].data["deviceId"], "d0")
        self.assertEqual([d["deviceId"] for d in self.devices(told[1])], ["d0", "d1", "d2"])

    async def test_a_page_is_told_of_the_last_phone_that_goes(self) -> None:
        # Today's take any mobile_disconnected for "no phone".
        _, node = await self.stage()
        cli, dashboard, desktop = await together(
            *(node.join(role, "ABC234") for role in ("cli", "dashboard", "desktop"))
        )
        phones = [await node.join("mobile", "ABC234", f"deviceId=d{i}") for i in range(2)]
        for member in (cli, dashboard, desktop):
            await member.settle()
        await phones[0].close()
        self.assertTypes(await cli.settle(), ["mobile_disconnected", "device_list"])
        for page in (dashboard, desktop):
            self.assertTypes(await page.settle(), ["device_list"])
        await phones[1].close()
        for member in (cli, dashboard, desktop):
            self.assertTypes(await member.settle(), ["mobile_disconnected", "device_list"])

    async def test_a_cli_that_goes(self) -> None:
        _, node = await self.stage()
        cli, dashboard, desktop = await together(
            *(node.join(role, "ABC234") for role in ("cli", "dashboard", "desktop"))
        )
        phone = await node.join("mobile", "ABC234")
        await phone.settle()
        await cli.close()
        for member in (dashboard, desktop):
            gone = (await member.expect("cli_disconnected")).data
            self.assertIsInstance(gone["timestamp"], int)
        self.assertEqual(await phone.settle(), [])

    async def test_a_desktop_that_comes_and_goes(self) -> None:
        _, node = await self.stage()
        cli = await node.join("cli", "ABC234")
        phone = await node.join("mobile", "ABC234")
        await cli.expect("device_list")
        desktop = await node.join("desktop", "ABC234")
        self.assertIsInstance((await phone.expect("desktop_connected")).data["timestamp"], int)
        await desktop.close()
        await phone.expect("desktop_disconnected")
        self.assertEqual(await cli.settle(), [])

    async def test_sessions_hear_nothing_of_each_other(self) -> None:
        _, node = await self.stage()
        cli = await node.join("cli", "ABC234")
        stranger = await node.join("cli", "XYZ789")
        phone = await node.join("mobile", "ABC234")
        await cli.expect("device_list")
        await phone.send({"type": "console_log", "payload": {}})
        await cli.expect("console_log")
        self.assertEqual(await stranger.settle(), [])

    def assertNotice(self, message: Message, kind: str, device: dict[str, Any]) -> None:
        notice = message.data
        self.assertIsInstance(notice.pop("timestamp"), int)
        self.assertEqual(notice, {"type": kind, **device})

    def devices(self, message: Message) -> list[dict[str, Any]]:
        self.assertEqual(message.type, "device_list")
        devices: list[dict[str, Any]] = message.data["devices"]
        return devices


class TakeoverTest(LiveCase):
    """A second CLI."""

    async def test_the_first_is_closed(self) -> None:
        _, node = await self.stage()
        first = await node.join("cli", "ABC234")
        second = await node.join("cli", "ABC234")
        self.assertEqual(await first.closed(), (1000, TAKEN_OVER))
        self.assertEqual(await second.settle(), [])

    async def test_a_cli_while_the_first_is_still_closing(self) -> None:
        _, node = await self.stage("--tune", "close-timeout=60s")
        phone = await node.join("mobile", "ABC234")
        dashboard = await node.join("dashboard", "ABC234")
        first = await node.join("cli", "ABC234")
        await together(first.expect("device_list"), dashboard.expect("device_list"))

        # It reads nothing any more, so it leaves the close unanswered.
        await first.pause()
        second = await node.join("cli", "ABC234")
        await second.expect("device_list")
        sent = await second.push_filler(2_000_000)
        self.assertEqual((await phone.bundle()).code, sent.code)
        await phone.send({"type": "bundle_ack", "success": True})
        await together(second.expect("bundle_ack"), dashboard.expect("bundle_ack"))

        await first.resume()
        self.assertEqual(await first.closed(), (1000, TAKEN_OVER))
        self.assertNotIn("bundle_ack", [message.type for message in first.seen])
        sent = await second.push_filler(1_000_000)
        self.assertEqual((await phone.bundle()).code, sent.code)
        for member in (second, dashboard, phone):
            self.assertEqual(await member.settle(), [])

    async def test_what_the_first_says_then_counts_no_more(self) -> None:
        _, node = await self.stage("--tune", "close-timeout=60s")
        phone = await node.join("mobile", "ABC234")
        first = await node.join("cli", "ABC234")
        await first.pause()
        second = await node.join("cli", "ABC234")
        await first.send({"type": "old"})
        await first.resume()
        await first.closed()
        await second.send({"type": "new"})
        self.assertEqual((await phone.next()).type, "new")


class PagesTest(LiveCase):
    """Dashboards and desktops, of which there may be several."""

    async def test_all_of_them_listen_and_speak(self) -> None:
        _, node = await self.stage()
        phone = await node.join("mobile", "ABC234", "deviceId=d0")
        pages = [await node.join(role, "ABC234") for role in ("dashboard", "desktop") * 2]
        await phone.expect("desktop_connected")
        for page in pages:
            await page.settle()
        await phone.send({"type": "console_log", "payload": {"level": "log", "args": [1]}})
        for page in pages:
            self.assertTypes(await page.settle(), ["console_log"])
        for page in pages:
            await page.send({"type": "hello", "targetDeviceId": "d0", "from": page.id})
            self.assertEqual((await phone.next()).data["from"], page.id)
        for page in (pages[1], pages[3]):
            self.assertEqual(await phone.settle(), [])
            await page.close()
        await phone.expect("desktop_disconnected")
        self.assertEqual(await phone.settle(), [])

    async def test_the_limit_is_an_option(self) -> None:
        _, node = await self.stage("--max-pages", "2")
        first, second = [await node.join("dashboard", "ABC234") for _ in range(2)]
        await first.send({"type": "ping", "timestamp": 1})
        await first.expect("pong")
        third = await node.join("desktop", "ABC234")
        self.assertEqual((await second.closed())[0], 1000)
        for page in (first, third):
            self.assertEqual(await page.settle(), [])


class LimitTest(LiveCase):
    async def test_five_phones_and_a_sixth(self) -> None:
        _, node = await self.stage()
        cli = await node.join("cli", "ABC234")
        phones = [await node.join("mobile", "ABC234", f"deviceId=d{i}") for i in range(5)]
        refusal = await node.refused("mobile", "ABC234", "deviceId=d5")
        self.assertEqual(refusal.status, 403)
        self.assertIn("5", refusal.json()["error"])
        # Another session has room, and nobody here was disturbed.
        await node.join("mobile", "XYZ789")
        sent = await cli.push_filler(600_000)
        for phone in phones:
            self.assertEqual((await phone.next()).code, sent.code)

        await phones[0].close()
        await phones[0].closed()
        await cli.expect("mobile_disconnected")
        await node.join("mobile", "ABC234", "deviceId=d5")

    async def test_one_of_five_comes_back_before_its_old_connection_is_gone(self) -> None:
        # Its network has changed, and the relay can't know yet. It is the same phone, no sixth.
        _, node = await self.stage("--tune", "close-timeout=60s")
        cli = await node.join("cli", "ABC234")
        phones = [await node.join("mobile", "ABC234", f"deviceId=d{i}") for i in range(5)]
        await cli.settle()
        await phones[2].pause()
        again = await node.join("mobile", "ABC234", "deviceId=d2")
        told = await cli.settle()
        self.assertTypes(told[:2], ["mobile_disconnected", "mobile_connected"])
        self.assertEqual([message.data["deviceId"] for message in told[:2]], ["d2", "d2"])
        self.assertEqual(len(told[-1].data["devices"]), 5)
        await phones[2].resume()
        self.assertEqual((await phones[2].closed())[0], 1000)
        sent = await cli.push_filler(600_000)
        self.assertEqual((await again.bundle()).code, sent.code)
        self.assertEqual(await cli.settle(), [])

    async def test_the_limit_is_an_option(self) -> None:
        _, node = await self.stage("--max-mobiles", "1")
        await node.join("mobile", "ABC234")
        self.assertEqual((await node.refused("mobile", "ABC234")).status, 403)

    async def test_sessions_time_out(self) -> None:
        _, node = await self.stage("--session-timeout", "1")
        members = await together(
            *(node.join(role, "ABC234") for role in ("cli", "dashboard", "desktop", "mobile"))
        )
        for member in members:
            self.assertEqual(await member.closed(), (1000, "Session timeout"))
        await node.join("cli", "ABC234")


class LogTest(LiveCase):
    async def test_the_session_id_is_a_secret(self) -> None:
        relay: RelayProcess
        relay, node = await self.stage()
        cli = await node.join("cli", "SECRET")
        phone = await node.join("mobile", "SECRET", "deviceId=d0")
        await cli.expect("device_list")
        await phone.close()
        await cli.expect("mobile_disconnected")
        await node.refused("mobile", "SECRET", "deviceId=%00")
        await relay.logged(hashlib.sha256(b"SECRET").hexdigest()[:8])
        await cli.close()
        await cli.closed()
        await relay.stop()
        self.assertNotIn("SECRET", relay.log + relay.child.err)
