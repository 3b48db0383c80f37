"""The last bundle: late joiners, slow phones, downloads, and disks that fail, with real bundles."""

import contextlib
import json
import shutil
import sys
from pathlib import Path

from twisted.trial.unittest import SkipTest

from apptuner_relay.session.session import session_hash
from tests.live.clients import TYPESCRIPT, Client, Code, NodeClients
from tests.live.harness import LiveCase, together
from tests.live.processes import MIB, RelayProcess, checkout_env, run
from tests.live.slow_phone import SlowPhone
from tests.live.test_bundles import code_of

CURL = shutil.which("curl")
UNSHARE = shutil.which("unshare")


class SpoolCase(LiveCase):
    def setUp(self) -> None:
        self.spool = Path(self.mktemp()).resolve()

    def files(self) -> list[Path]:
        """The bundles that are on the disk, and were: not the files that are ready for more."""
        files = sorted(self.spool.glob("relay-*/*.frames"))
        return [path for path in files if path.stat().st_size]

    async def spooling(self, *options: str) -> RelayProcess:
        return await self.relay("--spool-dir", str(self.spool), *options)

    async def kill(self, relay: RelayProcess) -> None:
        """kill -9."""
        relay.child.signal("KILL")
        await relay.child.over()
        relay.forget()

    async def curl(self, relay: RelayProcess, path: str, *arguments: str) -> str:
        if CURL is None:
            raise SkipTest("needs curl: ops/test installs it")
        url = f"http://127.0.0.1:{relay.port}{path}"
        child = await run([CURL, "--silent", "--show-error", "--fail", *arguments, url])
        self.assertEqual(child.exit_code, 0, repr(child))
        return child.out


class LateJoinerTest(SpoolCase):
    async def test_the_laptop_is_closed(self) -> None:
        relay = await self.spooling()
        node = await self.node(relay)
        for chunked in (False, True):
            for deflate in (False, True):
                cli = await node.join("cli", "ABC234", perMessageDeflate=deflate)
                sent = await cli.push(TYPESCRIPT, chunked)
                await cli.close()
                await cli.closed()
                phones = await together(
                    node.join("mobile", "ABC234", perMessageDeflate=True),
                    node.join("mobile", "ABC234", "platform=ios"),
                    node.join("mobile", "ABC234", "platform=ios&chunks=1"),
                )
                for phone in phones:
                    self.assertEqual((await phone.bundle()).code, sent.code)
                for phone in phones:
                    await phone.close()
                    await phone.closed()
        self.assertLessEqual(len(self.files()), 4)

    async def test_then_live_messages_in_order(self) -> None:
        relay = await self.spooling()
        node = await self.node(relay)
        cli = await node.join("cli", "ABC234")
        sent = await cli.push(TYPESCRIPT)
        phone = await node.join("mobile", "ABC234", "replay=1")
        await cli.send_burst({"type": "talk", "from": "cli", "n": n} for n in range(500))
        self.assertEqual((await phone.bundle()).code, sent.code)
        talk = await phone.take(500)
        self.assertEqual([message.data["n"] for message in talk], list(range(500)))
        again = await cli.push(TYPESCRIPT, chunked=True)
        self.assertEqual((await phone.bundle()).code, again.code)

    async def test_a_new_bundle_supersedes_it(self) -> None:
        relay = await self.spooling()
        node = await self.node(relay)
        cli = await node.join("cli", "ABC234")
        await cli.push_filler(30_000_000, chunked=True)
        phone = await SlowPhone.join(relay, "ABC234", "replay=1")
        await cli.expect("device_list")
        sent = await cli.push(TYPESCRIPT)
        phone.hurry()
        self.assertEqual(await phone.bundle(0), sent.code)
        self.assertLess(phone.types.count("bundle_chunk"), 58)
        sent = await cli.push(TYPESCRIPT, chunked=True)
        self.assertEqual(await phone.bundle(1), sent.code)
        phone.leave()


class SlowPhoneTest(SpoolCase):
    async def test_goes_on_from_the_spool(self) -> None:
        # The kernel makes room for more only every quarter of a MiB. For a phone to be seen to be
        # slow that has to take longer than the slow time: here, 6 s.
        relay = await self.spooling("--slow-rate", "100MiB", "--slow-time", "4")
        node = await self.node(relay)
        cli = await node.join("cli", "ABC234")
        quick = await node.join("mobile", "ABC234")
        slow = await SlowPhone.join(relay, "ABC234")
        await together(cli.expect("device_list"), quick.settle())
        for chunked in (False, True):
            sent = await cli.push_filler(10_000_000, chunked)
            # With the slow one in the group, this would take minutes.
            self.assertEqual((await quick.bundle()).code, sent.code)
            self.assertEqual(slow.bundles, [])
        slow.hurry()
        first, second = await together(slow.bundle(0), slow.bundle(1))
        self.assertEqual(second, sent.code)
        self.assertEqual(first, sent.code)
        slow.leave()


class ContentTest(SpoolCase):
    async def test_what_a_phone_has_is_not_sent_again(self) -> None:
        relay = await self.spooling()
        node = await self.node(relay)
        code = code_of(TYPESCRIPT)
        cli = await node.join("cli", "ABC234", perMessageDeflate=True)
        await cli.push(TYPESCRIPT)
        phone = await node.join("mobile", "ABC234", f"replay=1&have={code.sha256}")
        unchanged = (await phone.expect("bundle_unchanged")).data
        self.assertEqual(unchanged["sha256"], code.sha256)
        other = await node.join("mobile", "ABC234", f"have={code.sha256}")
        await cli.push(TYPESCRIPT, chunked=True)
        await other.expect("bundle_unchanged")
        self.assertEqual((await phone.bundle()).code, code)

    async def test_announced_and_fetched(self) -> None:
        relay = await self.spooling()
        node = await self.node(relay)
        code = code_of(TYPESCRIPT)
        cli = await node.join("cli", "ABC234")
        phone = await node.join("mobile", "ABC234", "announce=1")
        await cli.push(TYPESCRIPT)
        told = (await phone.expect("bundle_available")).data
        self.assertEqual(told["url"], f"/bundles/ABC234/{code.sha256}")
        self.assertEqual((told["sha256"], told["size"]), (code.sha256, TYPESCRIPT.stat().st_size))
        for arguments in ((), ("--compressed",)):
            got = Path(self.mktemp())
            await self.curl(relay, told["url"], "--output", str(got.absolute()), *arguments)
            self.assertEqual(got.read_bytes(), TYPESCRIPT.read_bytes())

    async def test_a_download_that_was_cut_goes_on(self) -> None:
        relay = await self.spooling()
        node = await self.node(relay)
        cli = await node.join("cli", "ABC234", perMessageDeflate=True)
        phone = await node.join("mobile", "ABC234", "announce=1")
        await cli.push(TYPESCRIPT, chunked=True)
        # Only what is written can be fetched.
        await phone.expect("bundle_available")
        got = Path(self.mktemp()).absolute()
        await self.curl(relay, "/bundles/ABC234", "--range", "0-1234567", "--output", str(got))
        self.assertEqual(got.stat().st_size, 1234568)
        await self.curl(relay, "/bundles/ABC234", "--continue-at", "-", "--output", str(got))
        self.assertEqual(got.read_bytes(), TYPESCRIPT.read_bytes())
        head = await relay.get("/bundles/ABC234", "HEAD")
        self.assertEqual(head.headers["etag"], f'"{code_of(TYPESCRIPT).sha256}"')
        fresh = await relay.get("/bundles/ABC234", headers={"If-None-Match": head.headers["etag"]})
        self.assertEqual(fresh.status, 304)

    async def test_nothing_there(self) -> None:
        relay = await self.spooling()
        for path, status in (("/bundles/ABC234", 404), ("/bundles/a%20b", 400), ("/bundles", 404)):
            reply = await relay.get(path)
            self.assertEqual(reply.status, status)
            self.assertTrue(json.loads(reply.body)["error"])


class CrashTest(SpoolCase):
    async def test_killed_in_the_middle_of_a_write(self) -> None:
        relay = await self.spooling()
        node = await self.node(relay)
        cli = await node.join("cli", "ABC234")
        other = await node.join("cli", "XYZ789")
        await other.push(TYPESCRIPT)
        phone = await node.join("mobile", "ABC234")
        await phone.bytes_arrived(1)
        await cli.settle()
        text = '{"type":"bundle_update","payload":{"code":"' + "x" * (2 * MIB)
        await cli.send_half(text, claim=10 * MIB)
        await phone.bytes_arrived(MIB)
        await self.kill(relay)
        left = self.files()
        self.assertTrue(left)

        relay = await self.spooling()
        await relay.logged(r"caching each session's last bundle .* \(1 left by others cleared\)")
        self.assertEqual(self.files(), [])
        node = await self.node(relay)
        for session in ("ABC234", "XYZ789"):
            reply = await relay.get(f"/bundles/{session}")
            self.assertEqual(reply.status, 404)
        cli, phone = await together(node.join("cli", "ABC234"), node.join("mobile", "ABC234"))
        sent = await cli.push(TYPESCRIPT)
        self.assertEqual((await phone.bundle()).code, sent.code)

    async def test_nothing_is_left_after_a_clean_end(self) -> None:
        relay = await self.spooling()
        node = await self.node(relay)
        await (await node.join("cli", "ABC234")).push(TYPESCRIPT)
        await relay.stop()
        self.assertEqual(list(self.spool.glob("relay-*")), [])

    async def test_two_relays_share_the_folder(self) -> None:
        one = await self.spooling()
        node = await self.node(one)
        cli = await node.join("cli", "ABC234")
        sent = await cli.push(TYPESCRIPT)
        two = await self.spooling()
        await two.stop()
        self.assertEqual(len(self.files()), 1)
        phone = await node.join("mobile", "ABC234", "replay=1")
        self.assertEqual((await phone.bundle()).code, sent.code)


class FailingDiskCase(SpoolCase):
    async def check_relays(self, cli: Client, phone: Client) -> Code:
        sent = await cli.push(TYPESCRIPT)
        self.assertEqual((await phone.bundle()).code, sent.code)
        return sent.code

    async def check_late(self, node: NodeClients, session: str, code: Code) -> None:
        """A phone that joins late gets that."""
        late = await node.join("mobile", session, "replay=1")
        self.assertEqual((await late.bundle()).code, code)
        await late.close()
        await late.closed()

    async def pair(self, node: NodeClients, session: str) -> list[Client]:
        cli, phone = await together(node.join("cli", session), node.join("mobile", session))
        await cli.settle()
        return [cli, phone]

    async def spool_off(self, relay: RelayProcess) -> str | None:
        """Why it is, as the status page has it."""
        off: str | None = (await relay.get("/api/status")).json()["spool"]["off"]
        return off


class FullDiskTest(FailingDiskCase):
    async def small_disk(self, size: str) -> RelayProcess:
        """A relay with its spool on a file system of that size, in a namespace of its own, so that
        it takes no rights to mount it."""
        if UNSHARE is None:
            raise SkipTest("needs util-linux: ops/test installs it")
        own = [UNSHARE, "--user", "--map-root-user", "--mount"]
        mount = f'mount -t tmpfs -o size={size},mode=700 none "$0" && exec "$@"'
        self.spool.mkdir(mode=0o700)
        probe = await run([*own, "sh", "-c", mount, str(self.spool), "true"], env=checkout_env())
        if probe.exit_code:
            raise SkipTest(f"a small file system can't be made here: {probe.err.strip()}")
        options = ["--listen", "tcp:0:interface=127.0.0.1", "--spool-dir", str(self.spool)]
        relay = RelayProcess(options, within=[*own, "sh", "-c", mount, str(self.spool)])
        self.addCleanup(relay.stop)
        await relay.listening()
        self.spool = Path(f"/proc/{relay.child.pid}/root{self.spool}")
        return relay

    async def test_others_fill_it_and_make_room(self) -> None:
        relay = await self.small_disk("24m")
        node = await self.node(relay)
        (other, _), (cli, phone) = [await self.pair(node, one) for one in ("XYZ789", "ABC234")]
        before = (await other.push(TYPESCRIPT)).code
        await self.check_late(node, "XYZ789", before)
        ballast = self.spool / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(MIB)):
                pass
        await self.check_relays(cli, phone)
        await relay.logged("THE SPOOL IS OFF: No space left on device")
        self.assertEqual(await self.spool_off(relay), "No space left on device")
        # What was kept before is there, and what could not be is not.
        await self.check_late(node, "XYZ789", before)
        self.assertEqual((await relay.get("/bundles/ABC234")).status, 404)
        await self.check_relays(cli, phone)
        ballast.unlink()
        await relay.logged("the spool is on again")
        self.assertIsNone(await self.spool_off(relay))
        await self.check_late(node, "ABC234", await self.check_relays(cli, phone))
        self.assertEqual(relay.log.count("THE SPOOL IS OFF"), 1)

    async def test_it_makes_room_itself(self) -> None:
        relay = await self.small_disk("12m")
        node = await self.node(relay)
        cli, phone = await self.pair(node, "ABC234")
        await self.check_late(node, "ABC234", await self.check_relays(cli, phone))
        # The second doesn't fit beside the first, which is not the last bundle any more.
        await self.check_relays(cli, phone)
        await relay.logged("THE SPOOL IS OFF: No space left on device")
        self.assertEqual((await relay.get("/bundles/ABC234")).status, 404)
        await relay.logged("the spool is on again")
        await self.check_late(node, "ABC234", await self.check_relays(cli, phone))
        self.assertEqual(relay.log.count("THE SPOOL IS OFF"), 1)


class SlowDiskTest(FailingDiskCase):
    is_frozen = False

    async def command(self, *argv: str) -> None:
        name = shutil.which(argv[0])
        if name is None:
            raise SkipTest(f"needs {argv[0]}")
        child = await run([name, *argv[1:]], env=checkout_env())
        if child.exit_code:
            raise SkipTest(f"{argv[0]} can't be used here: {child.err.strip()}")

    async def disk_of_its_own(self) -> RelayProcess:
        """A relay with its spool on a file system that can be stopped."""
        image = Path(self.mktemp()).resolve()
        with image.open("wb") as file:
            file.truncate(96 * MIB)
        await self.command("mkfs.ext4", "-q", "-F", str(image))
        self.spool.mkdir(mode=0o700)
        await self.command("mount", "-o", "loop", str(image), str(self.spool))
        self.addCleanup(self.command, "umount", str(self.spool))
        relay = await self.spooling()
        # It has to go before its disk does.
        self.addCleanup(relay.stop)
        return relay

    async def freeze(self) -> None:
        await self.command("fsfreeze", "--freeze", str(self.spool))
        self.addCleanup(self.thaw)
        self.is_frozen = True

    async def thaw(self) -> None:
        if self.is_frozen:
            self.is_frozen = False
            await self.command("fsfreeze", "--unfreeze", str(self.spool))

    async def test_nobody_waits_for_a_disk_that_stands_still(self) -> None:
        relay = await self.disk_of_its_own()
        node = await self.node(relay)
        (other, _), (cli, phone) = [await self.pair(node, one) for one in ("XYZ789", "ABC234")]
        before = (await other.push(TYPESCRIPT)).code
        await self.check_late(node, "XYZ789", before)
        await self.freeze()
        await self.check_relays(cli, phone)
        await relay.logged("THE SPOOL IS OFF: the disk is too slow")
        self.assertEqual(await self.spool_off(relay), "the disk is too slow")
        await self.check_relays(cli, phone)
        await self.check_late(node, "XYZ789", before)
        await self.thaw()
        await relay.logged("the spool is on again")
        await self.check_late(node, "ABC234", await self.check_relays(cli, phone))
        await self.check_late(node, "XYZ789", before)


class NoPlaceTest(FailingDiskCase):
    async def test_a_folder_that_is_not_to_be_had(self) -> None:
        relay = await self.relay("--spool-dir", "/proc/no/such/place")
        await relay.logged("THE SPOOL IS OFF")
        node = await self.node(relay)
        await self.check_relays(*await self.pair(node, "ABC234"))

    async def test_a_download_says_that_none_is_cached(self) -> None:
        for folder in ("/proc/no/such/place", "off"):
            relay = await self.relay("--spool-dir", folder)
            node = await self.node(relay)
            await node.join("cli", "ABC234")
            reply = await relay.get("/bundles/ABC234")
            self.assertEqual(reply.status, 404)
            self.assertIn("this relay caches none at present", reply.json()["error"])
            child = await run(
                [
                    *(sys.executable, "-m", "apptuner_relay.client.main", "fetch"),
                    *("--relay", f"http://127.0.0.1:{relay.port}", "--session", "ABC234"),
                ],
                env=checkout_env(),
            )
            self.assertEqual(child.exit_code, 6, repr(child))
            self.assertIn("this relay caches none at present", child.err)
            self.assertIs((await self.state(relay))["caches"], False)

    async def state(self, relay: RelayProcess) -> dict[str, object]:
        headers = {"AppTuner-Session": session_hash("ABC234")}
        found: dict[str, object] = (await relay.get("/session/state", headers=headers)).json()
        return found
