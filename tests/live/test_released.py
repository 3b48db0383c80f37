"""Released clients that meet in a session: they come back after any close, for ever."""

import hashlib
from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred

from tests.live.clients import missing
from tests.live.cluster import ClusterCase
from tests.live.harness import LiveCase
from tests.live.processes import RelayProcess
from tests.live.redis import missing_redis
from tests.live.released import Player, Released

TAKEN_OVER = (1000, "New CLI connected for this project")
HASH = hashlib.sha256(b"ABC234").hexdigest()


class ReleasedCase(LiveCase):
    async def released(self) -> Released:
        """A Node process that plays them."""
        released = Released()
        self.addCleanup(released.stop)
        await released.ready()
        return released

    def join(
        self, released: Released, relay: RelayProcess, role: str, **options: Any
    ) -> Coroutine[Deferred[Any], Any, Player]:
        """Have one connect."""
        return released.start(role, relay.url(role, "ABC234"), **options)


class PagesTest(ReleasedCase):
    skip = missing()

    async def test_two_pairs_do_not_throw_each_other_out(self) -> None:
        # A war at two closes a second would have eaten this rate, and nobody else got in.
        relay, released = await self.relay("--connect-rate", "20"), await self.released()
        pages = [
            await self.join(released, relay, role)
            for role in ("dashboard", "desktop")
            for _ in "ab"
        ]
        phone = await self.join(released, relay, "mobile")
        for n in range(1, 4):
            phone.send(type="console_log", payload={"level": "log", "args": [n]})
            for page in pages:
                await page.told("console_log", n)
        await self.join(released, relay, "cli")
        self.assertEqual([page.closes for page in pages], [[]] * 4)

    async def test_one_beyond_the_limit_gives_up(self) -> None:
        relay, released = await self.relay("--max-pages", "2"), await self.released()
        first, second, third = [await self.join(released, relay, "dashboard") for _ in range(3)]
        # It comes back, is refused, and waits for longer each time.
        await first.until(lambda: len(first.those("refused")) >= 3 or None)
        self.assertEqual({event["status"] for event in first.those("refused")}, {403})
        self.assertEqual(len(first.closes), 1)
        self.assertEqual((second.closes, third.closes), ([], []))


class TwoCLIsTest(ReleasedCase):
    """Two terminals, or an id in git and two developers."""

    skip = missing()

    async def test_the_war_ends_and_both_are_heard(self) -> None:
        relay, released = await self.relay(), await self.released()
        phone = await self.join(released, relay, "mobile")
        page = await self.join(released, relay, "dashboard")
        first = await self.join(released, relay, "cli", bundleChars=3_000_000)
        await phone.until(lambda: phone.those("bundle") or None)
        second = await self.join(released, relay, "cli", bundleChars=3_000_000)
        await first.opened(2)
        line = await relay.logged(r"session (\w+): 2 CLIs are connected")
        self.assertEqual(line.group(1), HASH[:8])
        self.assertEqual((first.closes, second.closes), ([TAKEN_OVER], []))
        (row,) = (await relay.get("/api/sessions")).json()["sessions"]
        self.assertTrue(row["several_clis"])
        self.assertEqual(sorted(row["roles"]), ["cli", "cli", "dashboard", "mobile"])
        # A save of each arrives, and both hear what the phone makes of it.
        for cli in (first, second):
            acks = [len(one.messages("bundle_ack")) for one in (first, second, page)]
            bundled = len(cli.those("bundling"))
            cli.bundle()
            await cli.until(lambda cli=cli, n=bundled: cli.those("bundling")[n:] or None)
            # It may be in the middle of one already, which this takes the place of.
            await phone.until(
                lambda cli=cli: (
                    phone.those("bundle")[-1]["name"] == cli.those("bundling")[-1]["name"] or None
                )
            )
            for one, before in zip((first, second, page), acks, strict=True):
                await one.told("bundle_ack", before + 1)
        # For a page there is a CLI as long as one of them is there.
        first.leave()
        await first.until(lambda: first.closes[1:] or None)
        phone.send(type="console_log")
        await page.told("console_log")
        self.assertEqual(page.messages("cli_disconnected"), [])
        second.leave()
        await page.told("cli_disconnected")

    async def test_bundles_of_both_at_once_are_never_mixed(self) -> None:
        relay, released = await self.relay(), await self.released()
        phones = [await self.join(released, relay, "mobile") for _ in range(2)]
        first = await self.join(released, relay, "cli", bundleChars=8_000_000)
        second = await self.join(released, relay, "cli", bundleChars=5_000_000)
        await first.opened(2)
        await relay.logged("2 CLIs are connected")
        for _ in range(3):
            seen = [len(phone.those("bundle")) for phone in phones]
            first.bundle()
            second.bundle()
            for phone, before in zip(phones, seen, strict=True):
                await phone.until(
                    lambda phone=phone, before=before: phone.those("bundle")[before:] or None
                )
        late = await self.join(released, relay, "mobile")
        await late.until(lambda: late.those("bundle") or None)
        for phone in (*phones, late):
            self.assertEqual([one for one in phone.those("bundle") if one["isMixed"]], [])

    async def test_one_that_comes_back_takes_over_from_a_dead_one(self) -> None:
        relay, released = await self.relay(), await self.released()
        page = await self.join(released, relay, "dashboard")
        first = await self.join(released, relay, "cli", bundleChars=600_000)
        second = await self.join(released, relay, "cli")
        second.freeze()
        await first.opened(2)
        phone = await self.join(released, relay, "mobile")
        await phone.until(lambda: phone.those("bundle") or None)
        await relay.logged("a CLI that does not answer a ping")
        self.assertEqual(first.closes, [TAKEN_OVER])
        self.assertEqual(page.messages("cli_disconnected"), [])
        second.leave()
        second.thaw()
        self.assertNotIn("CLIs are connected", relay.log)


class ClusterTest(ReleasedCase, ClusterCase):  # type: ignore[misc]
    skip = missing() or missing_redis()

    async def test_the_war_ends_across_relays(self) -> None:
        _, (a, b), _ = await self.cluster(2)
        released = await self.released()
        phone = await ReleasedCase.join(self, released, b, "mobile")
        first = await ReleasedCase.join(self, released, a, "cli", bundleChars=600_000)
        await phone.until(lambda: phone.those("bundle") or None)
        second = await ReleasedCase.join(self, released, b, "cli", bundleChars=600_000)
        await first.opened(2)
        # The phone came first, and so the session is b's.
        await b.logged(rf"session {HASH[:8]}: 2 CLIs are connected")
        self.assertEqual((first.closes, second.closes), ([TAKEN_OVER], []))

    async def test_two_clis_and_two_pages_move_with_their_session(self) -> None:
        for ends in ("TERM", "KILL"):
            _, (a, b, c), _ = await self.cluster(3)
            released = await self.released()
            # It comes first, and so the session is a's.
            await ReleasedCase.join(self, released, a, "dashboard")
            phone = await ReleasedCase.join(self, released, c, "mobile")
            first = await ReleasedCase.join(self, released, b, "cli", bundleChars=600_000)
            second = await ReleasedCase.join(self, released, c, "cli", bundleChars=600_000)
            pages = [await ReleasedCase.join(self, released, one, "desktop") for one in (b, c)]
            await first.opened(2)
            await a.logged("2 CLIs are connected")
            others = (phone, first, second, *pages)
            closes = [len(one.closes) for one in others]
            heard = [len(one.messages("device_list")) for one in others[1:]]
            if ends == "TERM":
                await a.stop()
            else:
                a.child.signal(ends)
                a.forget()
            # Whoever is told where the session is now, is in it.
            for one, before in zip(others[1:], heard, strict=True):
                await one.told("device_list", before + 1)
            for n, cli in enumerate((first, second)):
                acks = [len(one.messages("bundle_ack")) for one in (first, second, *pages)]
                cli.bundle()
                for one, before in zip((first, second, *pages), acks, strict=True):
                    await one.told("bundle_ack", before + 1)
                phone.send(type="console_log", payload={"level": "log", "args": [n]})
                for one in (first, second, *pages):
                    await one.told("console_log", n + 1)
            self.assertEqual([len(one.closes) for one in others], closes, ends)

    async def test_a_dead_one_behind_the_other_relay_is_found_out(self) -> None:
        _, (a, b), _ = await self.cluster(2)
        released = await self.released()
        await ReleasedCase.join(self, released, a, "mobile")
        first = await ReleasedCase.join(self, released, a, "cli")
        second = await ReleasedCase.join(self, released, b, "cli")
        second.freeze()
        await first.opened(2)
        await a.logged("a CLI that does not answer a ping")
        self.assertEqual(first.closes, [TAKEN_OVER])
        self.assertNotIn("CLIs are connected", a.log)
        second.leave()
        second.thaw()


class RecoveryTest(ClusterCase):
    """Phones that come back one by one, after their relay has failed."""

    skip = missing() or missing_redis()

    async def test_the_cli_bundles_once_for_all_of_them(self) -> None:
        _, (a, b, c), _ = await self.cluster(3)
        released = Released()
        self.addCleanup(released.stop)
        await released.ready()
        await released.start("dashboard", a.url("dashboard", "ABC234"))
        phones = [
            await released.start("mobile", relay.url("mobile", "ABC234")) for relay in (b, c, b, c)
        ]
        cli = await released.start("cli", b.url("cli", "ABC234"), bundleChars=600_000)
        for phone in phones:
            await phone.until(lambda phone=phone: phone.those("bundle") or None)
        # It came to four phones.
        self.assertEqual(len(cli.those("bundling")), 1)
        a.child.signal("KILL")
        a.forget()
        for phone in phones:
            await phone.until(lambda phone=phone: phone.those("bundle")[1:] or None)
        devices = [one for one in cli.messages("device_list") if one["text"].count("deviceId") == 4]
        self.assertTrue(devices)
        self.assertEqual(len(cli.those("bundling")), 2)
        for phone in phones:
            self.assertEqual((len(phone.those("bundle")), phone.closes), (2, []))


class GoneTest(LiveCase):
    """A phone whose network has changed: its old connection is found dead when the new one has
    long been there."""

    skip = missing()

    async def test_pages_are_not_told_that_it_has_gone(self) -> None:
        relay = await self.relay("--ping-interval", "1", "--tune", "ping-timeout=1")
        node = await self.node(relay)
        cli, page = await node.join("cli", "ABC234"), await node.join("dashboard", "ABC234")
        old = await node.join("mobile", "ABC234")
        gone = (await cli.expect("mobile_connected")).data["deviceId"]
        await old.pause()
        await node.join("mobile", "ABC234")
        self.assertEqual((await cli.expect("mobile_disconnected")).data["deviceId"], gone)
        told = [message.type for message in await page.settle()]
        self.assertEqual(
            told,
            ["mobile_connected", "device_list", "mobile_connected", "device_list", "device_list"],
        )


class ClusterPhonesTest(ClusterCase):
    skip = missing() or missing_redis()

    async def test_a_dead_one_at_another_relay_makes_room_for_a_sixth(self) -> None:
        # In this test none is dropped for a ping that it leaves unanswered.
        options = ("--ping-interval", "1", "--tune", "ping-timeout=1h")
        _, (a, b), node = await self.cluster(2, *options)
        released = Released()
        self.addCleanup(released.stop)
        await released.ready()
        cli, page = await self.join(node, a, "cli"), await self.join(node, b, "dashboard")
        phones = [
            await self.join(node, (a, b)[n % 2], "mobile", query=f"deviceId=d{n}") for n in range(5)
        ]
        for n, relay in ((1, a), (2, b)):
            await phones[n].pause()
            await cli.settle()
            await page.settle()
            # It is refused until one has been silent for a second.
            await released.start("mobile", relay.url("mobile", "ABC234", f"deviceId=new{n}"))
            gone = (await cli.expect("mobile_disconnected")).data["deviceId"]
            self.assertEqual(gone, f"d{n}")
            told = [message.type for message in await page.settle()]
            self.assertEqual(told, ["device_list", "mobile_connected", "device_list"])
            await phones[n].resume()
            self.assertEqual((await phones[n].closed())[0], 1000)
        # All of them answer now.
        refusal = await node.refused("mobile", "ABC234", url=a.url("mobile", "ABC234"))
        self.assertEqual(refusal.status, 403)
