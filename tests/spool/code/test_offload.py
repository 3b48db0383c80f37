"""`apptuner_relay.spool.code.offload`, with the real worker, and with none to be had."""

import gc
import gzip
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ProcessTerminated
from twisted.internet.interfaces import IReactorProcess, IReadDescriptor
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from apptuner_relay.spool.bundle import CODINGS, CodeFile, Digest, NoCode
from apptuner_relay.spool.code.bundle_messages import bundle_start
from apptuner_relay.spool.code.offload import (
    MOST_DEATHS,
    PATIENCE_S,
    PAUSE_S,
    Digestion,
    Offload,
)
from apptuner_relay.spool.code.utf16_offsets import utf16_length
from apptuner_relay.wire.bundle_patch import BadPatch, BundlePatch, Edit, PatchFault, build_patch
from apptuner_relay.wire.server_frames import MOST_MESSAGE_BYTES
from tests.live.processes import Child, checkout_env, within_patience
from tests.spool.code.test_bundle_messages import joined
from tests.spool.code.test_dictionary_coding import decoded
from tests.spool.wire_forms import CODE, chunks, sha256, update


@implementer(IReactorProcess)
class Reactor(Clock):
    """Starts real processes, in a time of its own, and remembers them."""

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[Any] = []
        self.environments: list[dict[str, str]] = []

    def spawnProcess(self, protocol: Any, executable: str, args: Any, env: Any) -> Any:
        self.environments.append(env)
        self.processes.append(reactor.spawnProcess(protocol, executable, args, env=env))  # type: ignore[attr-defined]
        return self.processes[-1]

    def kill_last(self) -> None:
        self.processes[-1].signalProcess("KILL")


def logged(test: SynchronousTestCase) -> list[dict[str, Any]]:
    """The events that are logged as warnings or worse from now on."""
    events: list[dict[str, Any]] = []

    def observe(event: dict[str, Any]) -> None:
        if event["log_level"] >= LogLevel.warn:
            events.append(event)

    globalLogPublisher.addObserver(observe)
    test.addCleanup(globalLogPublisher.removeObserver, observe)
    return events


def texts(events: list[dict[str, Any]]) -> list[str]:
    return [event["log_format"].format(**event) for event in events]


class WithTheWorker(TestCase):
    def setUp(self) -> None:
        self.room = Path(self.mktemp()).absolute()
        self.room.mkdir()
        self.reactor = Reactor()
        self.offload = Offload(self.reactor)
        self.addCleanup(self.offload.stop)

    def file(self, name: str, wire: bytes) -> Path:
        path = self.room / name
        path.write_bytes(wire)
        return path

    def digestion(self, path: Path) -> Digestion:
        """Of a file that is complete, but for `finish`."""
        digestion = self.offload.digest(path)
        digestion.written(path.stat().st_size)
        return digestion

    def digest(self, path: Path) -> Deferred[Digest]:
        digestion = self.digestion(path)
        digestion.finish()
        return self.patiently(digestion.result)

    def patiently(self, waiting: Deferred[Any]) -> Deferred[Any]:
        return within_patience(waiting, lambda: "nothing from the worker")

    async def no_code(self, waiting: Deferred[Any], said: str) -> None:
        try:
            got = await self.patiently(waiting)
        except NoCode as why:
            self.assertIn(said, str(why))
        else:
            self.fail(f"{got} instead of {said}")

    async def test_nothing_is_started_before_it_is_needed(self) -> None:
        self.assertEqual(self.reactor.processes, [])
        await self.digest(self.file("a", update("x")))
        await self.digest(self.file("b", update("y")))
        self.assertEqual(len(self.reactor.processes), 1)

    async def test_a_worker_that_does_not_answer_is_ended(self) -> None:
        await self.digest(self.file("a", update("x")))
        self.reactor.processes[-1].signalProcess("STOP")
        path = self.file("b", update("y"))
        waiting = [self.digestion(path), self.digestion(path)]
        waiting[0].finish()
        making = self.offload.make(path, "gzip", self.room / "out")
        self.reactor.pump([PATIENCE_S / 4] * 5)
        for result in (waiting[0].result, waiting[1].result, making):
            await self.no_code(result, "the worker died")
        self.assertEqual(await self.digest(path), Digest(sha256("y"), 1, 1))

    async def test_the_address_of_a_bundle_that_is_being_written(self) -> None:
        code = CODE * 30_000
        wire = chunks([code[:100_000], code[100_000:]], compressed=True, parts=5)
        path = self.file("a", b"")
        digestion = self.offload.digest(path)
        with path.open("ab", buffering=0) as file:
            for at in range(0, len(wire), 1000):
                file.write(wire[at : at + 1000])
                digestion.written(at + 1000)
        digestion.written(len(wire))
        digestion.finish()
        self.assertEqual(
            await self.patiently(digestion.result),
            Digest(sha256(code), len(code.encode()), utf16_length(code)),
        )

    async def test_many_at_once(self) -> None:
        codes = [f"{i}" * 20_000 for i in range(60)]
        digestions = [self.digestion(self.file(f"{i}", update(c))) for i, c in enumerate(codes)]
        for digestion in reversed(digestions):
            digestion.finish()
        got = await self.patiently(gatherResults([one.result for one in digestions]))
        self.assertEqual([digest.sha256 for digest in got], [sha256(code) for code in codes])

    async def test_the_code_in_every_coding_is_the_same_again(self) -> None:
        code = CODE * 5_000
        files = self.file("a", update(code, parts=3)), self.file("b", chunks([code], True))
        for coding in CODINGS:
            made = []
            for path in files:
                output = self.room / f"{path.name}.{coding}"
                size = await self.patiently(self.offload.make(path, coding, output))
                self.assertEqual(size, output.stat().st_size)
                self.assertEqual(output.stat().st_mode & 0o777, 0o600)
                made.append(output.read_bytes())
            self.assertEqual(made[0], made[1])
        self.assertEqual((self.room / "a.identity").read_bytes(), code.encode())
        self.assertEqual(gzip.decompress((self.room / "a.gzip").read_bytes()), code.encode())
        self.assertEqual(len(os.listdir(self.room)), 2 + 2 * len(CODINGS))

    async def test_the_code_from_code_that_a_client_has(self) -> None:
        old, new = CODE * 30_000, CODE * 15_000 + "é🛒" + CODE * 15_000
        base = self.code("base", old)
        output = self.room / "out.dcz"
        made = []
        for path in (self.file("a", update(new, parts=3)), self.file("b", chunks([new], True))):
            making = self.offload.make_from(base, path, len(new.encode()), output)
            self.assertEqual(await self.patiently(making), output.stat().st_size)
            self.assertEqual(output.stat().st_mode & 0o777, 0o600)
            made.append(output.read_bytes())
        self.assertEqual(made[0], made[1])
        self.assertLess(len(made[0]), 2_000)
        self.assertEqual(decoded(made[0], old.encode()), new.encode())
        output.unlink()
        wrong_size = self.offload.make_from(base, self.room / "a", 7, output)
        await self.no_code(wrong_size, "ZstdError")
        self.flushLoggedErrors()
        missing = CodeFile(self.room / "missing", base.sha256)
        making = self.offload.make_from(missing, self.room / "a", len(new.encode()), output)
        await self.no_code(making, "No such file")
        self.assertEqual(sorted(os.listdir(self.room)), ["a", "b", "base"])

    async def test_more_at_once_than_are_written_together(self) -> None:
        code = CODE * 5_000
        base, path = self.code("base", code), self.file("a", update(code + "more"))
        size = len((code + "more").encode())
        made = []
        for number in range(6):
            made.append(self.offload.make(path, "gzip", self.room / f"{number}.gzip"))
            made.append(self.offload.make_from(base, path, size, self.room / f"{number}.dcz"))
        await self.patiently(gatherResults(made))
        for number in range(6):
            zipped, coded = (self.room / f"{number}.{coding}" for coding in ("gzip", "dcz"))
            self.assertEqual(gzip.decompress(zipped.read_bytes()), (code + "more").encode())
            self.assertEqual(decoded(coded.read_bytes(), code.encode()), (code + "more").encode())

    async def test_no_code(self) -> None:
        await self.no_code(self.digest(self.file("a", b"\0\0")), "not a server's frames")
        await self.no_code(self.offload.digest(self.room / "missing").result, "No such file")
        missing = self.offload.make(self.room / "missing", "gzip", self.room / "out")
        await self.no_code(missing, "No such file")
        await self.no_code(self.offload.make(self.room / "a", "gzip", self.room / "out"), "frames")
        self.assertEqual(os.listdir(self.room), ["a"])
        self.assertEqual(len(self.reactor.processes), 1)

    def code(self, name: str, code: str) -> CodeFile:
        return CodeFile(self.file(name, code.encode()), sha256(code))

    async def test_a_patch_is_made_and_applied(self) -> None:
        code = CODE * 30_000
        base, new = self.code("a", code), self.code("b", code[:1000] + "é🛒" + code[1001:])
        message = await self.patiently(self.offload.diff(base, new, 1))
        file, output = self.room / "code", self.room / "out"
        made = await self.patiently(self.offload.patch(base, message, file))
        self.assertEqual(made, Digest(new.sha256, new.path.stat().st_size, utf16_length(code) + 2))
        self.assertEqual(file.read_bytes(), new.path.read_bytes())
        await self.patiently(self.offload.write(file, output, 5))
        start = bundle_start(made.size, made.units, 5, MOST_MESSAGE_BYTES)
        assert start is not None
        lines = [start, *output.read_bytes().splitlines()]
        self.assertEqual(joined(lines), new.path.read_text())
        await self.no_code(self.offload.diff(base, self.code("c", "?" * 9000), 1), "different")

    async def refused(self, waiting: Deferred[Any], fault: PatchFault) -> None:
        try:
            await self.patiently(waiting)
        except BadPatch as refusal:
            self.assertIs(refusal.fault, fault)
        else:
            self.fail(f"not refused: {fault}")

    async def test_patches_that_are_refused(self) -> None:
        base, output = self.code("a", "abc"), self.room / "out"
        await self.refused(self.offload.patch(base, b"{}", output), PatchFault.MALFORMED)
        await self.refused(self.offload.patch(base, b"\xff", output), PatchFault.MALFORMED)
        patch = BundlePatch(base.sha256, sha256("abcd"), 4, 4, [Edit(3, 3, "d")])
        other = base._replace(sha256="0" * 64)
        right = build_patch(patch, 1)
        await self.refused(self.offload.patch(other, right, output), PatchFault.BASE)
        self.offload = Offload(self.reactor, most_message_bytes=3)
        self.addCleanup(self.offload.stop)
        await self.refused(self.offload.patch(base, right, output), PatchFault.TOO_BIG)
        missing = base._replace(path=self.room / "missing")
        await self.no_code(self.offload.patch(missing, right, output), "No such file")
        self.assertEqual(os.listdir(self.room), ["a"])

    async def test_messages_above_the_limit_of_the_relay(self) -> None:
        self.offload = Offload(self.reactor, most_message_bytes=1000)
        self.addCleanup(self.offload.stop)
        await self.no_code(self.digest(self.file("a", update("x" * 2000, True))), "above 1000")

    async def test_killed_in_mid_work_and_started_again(self) -> None:
        events = logged(self)
        path = self.file("a", update(CODE * 200_000))
        digestion = self.digestion(path)
        made = self.offload.make(path, "br", self.room / "out")
        # By the time of this answer the others are under way.
        await self.no_code(self.offload.digest(self.room / "missing").result, "No such file")
        self.assertEqual(len([*self.room.glob("out.*.part")]), 1)
        self.reactor.kill_last()
        await self.no_code(digestion.result, "died")
        await self.no_code(made, "died")
        self.assertEqual(os.listdir(self.room), ["a"])
        digestion.written(1 << 30)
        digestion.finish()
        digestion.cancel()
        self.assertEqual((await self.digest(self.file("b", update("x")))).size, 1)
        self.assertEqual(len(self.reactor.processes), 2)
        [text] = texts(events)
        self.assertIn("signal 9", text)
        self.assertNotIn(str(self.room), text)

    async def test_one_that_keeps_dying_is_left_alone_for_a_while(self) -> None:
        events = logged(self)
        path = self.file("a", update("x"))
        for _ in range(MOST_DEATHS):
            digestion = self.digestion(path)
            self.reactor.kill_last()
            await self.no_code(digestion.result, "died")
        for _ in range(5):
            await self.no_code(self.digest(path), "no worker")
        self.assertEqual(len(self.reactor.processes), MOST_DEATHS)
        errors = [event for event in events if event["log_level"] == LogLevel.error]
        self.assertEqual(len(errors), 1)
        self.reactor.advance(PAUSE_S)
        self.assertEqual((await self.digest(path)).size, 1)

    async def test_deaths_that_are_far_apart_are_forgiven(self) -> None:
        path = self.file("a", update("x"))
        for _ in range(2 * MOST_DEATHS):
            digestion = self.digestion(path)
            self.reactor.kill_last()
            await self.no_code(digestion.result, "died")
            self.reactor.advance(30)
        self.assertEqual((await self.digest(path)).size, 1)

    async def test_cancelled_it_never_fires(self) -> None:
        path = self.file("a", update("x"))
        fired: list[object] = []
        digestion = self.digestion(path)
        digestion.result.addBoth(fired.append)
        digestion.finish()
        digestion.cancel()
        digestion.finish()
        digestion.written(1 << 30)
        await self.digest(path)
        self.assertEqual(fired, [])

    async def test_cancelled_after_it_has_failed_unheard(self) -> None:
        failed = self.digestion(self.file("a", b"\0\0"))
        failed.finish()
        await self.digest(self.file("b", update("x")))
        failed.cancel()
        del failed
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_deferreds_can_be_cancelled(self) -> None:
        path = self.file("a", update(CODE * 100_000))
        digestion = self.digestion(path)
        made = self.offload.make(path, "br", self.room / "out")
        for waiting in (digestion.result, made):
            waiting.cancel()
            await self.no_code(waiting, "cancelled")
        await self.digest(self.file("b", update("x")))
        self.assertEqual(sorted(os.listdir(self.room)), ["a", "b"])

    async def test_stopping(self) -> None:
        digestion = self.digestion(self.file("a", update("x")))
        made = self.offload.make(self.room / "a", "br", self.room / "out")
        events = logged(self)
        stops = [self.offload.stop(), self.offload.stop()]
        await self.no_code(digestion.result, "stops")
        await self.no_code(made, "stops")
        await self.patiently(gatherResults(stops))
        await self.no_code(self.digest(self.room / "a"), "stops")
        await self.no_code(self.offload.make(self.room / "a", "br", self.room / "out"), "stops")
        await self.patiently(self.offload.stop())
        self.assertEqual((os.listdir(self.room), events), (["a"], []))

    async def test_the_worker_has_no_secrets_of_the_relay(self) -> None:
        self.patch(os, "environ", os.environ | {"APPTUNER_ADMIN_TOKEN": "secret"})
        await self.digest(self.file("a", update("x")))
        self.assertNotIn("secret", self.reactor.environments[0].values())

    async def test_it_goes_when_the_relay_is_killed(self) -> None:
        if not hasattr(os, "pidfd_open"):
            self.skipTest("needs os.pidfd_open")
        path = self.file("a", update(CODE * 100_000))
        started: Deferred[str] = Deferred()
        argv = [sys.executable, "-c", RELAY, str(path), str(self.room / "out")]
        relay = Child(argv, env=checkout_env(), on_line=started.callback)
        self.addCleanup(relay.kill)
        pid = int(await within_patience(started, lambda: repr(relay)))
        gone = Gone(os.pidfd_open(pid))
        reactor.addReader(gone)  # type: ignore[attr-defined]
        relay.signal("KILL")
        await within_patience(relay.over(), lambda: repr(relay))
        await within_patience(gone.deferred, lambda: f"the worker, {pid}, lives on")
        self.assertEqual(os.listdir(self.room), ["a"])


RELAY = """
import sys
from pathlib import Path
from twisted.internet import reactor
from apptuner_relay.spool.code.offload import Offload
offload = Offload(reactor)
offload.make(Path(sys.argv[1]), "br", Path(sys.argv[2])).addErrback(print)
ready = offload.digest(Path("/missing")).result
ready.addErrback(lambda _: print(offload._worker.transport.pid, flush=True))
reactor.run()
"""


@implementer(IReadDescriptor)
class Gone:
    """Fires when the process of a pidfd has ended."""

    def __init__(self, pidfd: int) -> None:
        self._pidfd = pidfd
        self.deferred: Deferred[None] = Deferred()

    def fileno(self) -> int:
        return self._pidfd

    def logPrefix(self) -> str:
        return "gone"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops."""

    def doRead(self) -> None:
        reactor.removeReader(self)  # type: ignore[attr-defined]
        os.close(self._pidfd)
        self.deferred.callback(None)


class Transport:
    """Of a process that there isn't."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def write(self, data: bytes) -> None:
        self.lines += map(json.loads, data.splitlines())


@implementer(IReactorProcess)
class NoProcesses(Clock):
    """Starts what ``start`` says."""

    def __init__(self, start: Callable[[Any], None]) -> None:
        super().__init__()
        self._start = start

    def spawnProcess(self, protocol: Any, *args: Any, **more: Any) -> None:
        self._start(protocol)


class WithoutTheWorker(SynchronousTestCase):
    def test_none_can_be_started(self) -> None:
        def start(protocol: Any) -> None:
            attempts.append(protocol)
            raise OSError(11, os.strerror(11))

        attempts: list[Any] = []
        events = logged(self)
        offload = Offload(NoProcesses(start))  # type: ignore[arg-type]
        for _ in range(MOST_DEATHS + 5):
            digestion = offload.digest(Path("a"))
            digestion.written(1 << 20)
            digestion.finish()
            self.failureResultOf(digestion.result, NoCode)
            self.failureResultOf(offload.make(Path("a"), "br", Path("b")), NoCode)
        self.assertEqual(len(attempts), MOST_DEATHS)
        self.assertEqual(len(events), MOST_DEATHS)
        self.assertIn(os.strerror(11), texts(events)[-1])
        self.successResultOf(offload.stop())

    def test_it_is_not_told_of_every_byte(self) -> None:
        transport = Transport()
        offload = Offload(NoProcesses(lambda protocol: setattr(protocol, "transport", transport)))  # type: ignore[arg-type]
        digestion = offload.digest(Path("a"))
        for size in range(0, 1_000_000, 1000):
            digestion.written(size)
        digestion.finish()
        self.assertEqual([line["do"] for line in transport.lines[:2]], ["digest", "written"])
        self.assertLess(len(transport.lines), 7)
        self.assertEqual(transport.lines[-1], {"id": 1, "do": "finish", "size": 999_000})

    def test_it_is_told_which_file_nobody_needs(self) -> None:
        transport = Transport()
        offload = Offload(NoProcesses(lambda protocol: setattr(protocol, "transport", transport)))  # type: ignore[arg-type]
        made = offload.make(Path("a"), "br", Path("b"))
        made.cancel()
        self.failureResultOf(made, NoCode)
        offload.digest(Path("a")).cancel()
        cancels = [line for line in transport.lines if line["do"] == "cancel"]
        self.assertEqual(
            cancels, [{"id": 1, "do": "cancel", "output": "b"}, {"id": 2, "do": "cancel"}]
        )

    def test_what_it_complains_of_is_logged_and_bounded(self) -> None:
        events = logged(self)
        started: list[Any] = []

        def start(protocol: Any) -> None:
            protocol.transport = Transport()
            started.append(protocol)

        offload = Offload(NoProcesses(start))  # type: ignore[arg-type]
        digestion = offload.digest(Path("a"))
        started[0].errReceived(b"Looku")
        started[0].errReceived(b"pError\n  line 7\n")
        for _ in range(1000):
            started[0].errReceived(b"x" * 99 + b"\n")
        self.assertEqual(texts(events)[0], "bundle worker: LookupError")
        self.assertLess(len(events), 100)
        started[0].processEnded(Failure(ProcessTerminated(signal=signal.SIGKILL)))
        self.failureResultOf(digestion.result, NoCode)
