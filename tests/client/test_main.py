"""The program as a process: arguments, exit codes, signals, pipes; and TLS, both ways."""

from __future__ import annotations

import io
import os
import signal
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor, ssl
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

import apptuner_relay
from apptuner_relay import __version__
from apptuner_relay.client.main import main
from apptuner_relay.client.outcome import Exit
from tests.certificates import Authority

from .little_relay import RelayTestCase

ROOT = str(Path(apptuner_relay.__file__).parent.parent)
HEAVY = {"autobahn", "cryptography", "OpenSSL", "orjson", "rich", "segno", "treq", "twisted"}
"""Libraries that take long to import."""


class Child(ProcessProtocol):
    """A run of the program."""

    def __init__(self) -> None:
        self.out = self.err = b""
        self.done: Deferred[int] = Deferred()
        self._awaited: tuple[bytes, Deferred[None]] | None = None

    def outReceived(self, data: bytes) -> None:
        self.out += data

    def errReceived(self, data: bytes) -> None:
        self.err += data
        if self._awaited is not None and self._awaited[0] in self.err:
            (_, said), self._awaited = self._awaited, None
            said.callback(None)

    def says(self, words: bytes) -> Deferred[None]:
        """Fires when standard error has these words. To be called before it can."""
        said: Deferred[None] = Deferred()
        self._awaited = (words, said)
        return said

    def processEnded(self, reason: Failure) -> None:
        self.done.callback(0 if reason.check(ProcessDone) else reason.value.exitCode)


class ProgramTestCase(RelayTestCase):
    def run_program(self, *arguments: str, script: str = "", **environment: str) -> Child:
        child = Child()
        how = ["-c", script] if script else ["-m", "apptuner_relay.client.main"]
        environment = {
            **os.environ,
            "PYTHONPATH": ROOT,
            "APPTUNER_RELAY": str(self.relay.address),
            **environment,
        }
        process = reactor.spawnProcess(
            child, sys.executable, [sys.executable, *how, *arguments], env=environment
        )

        def stop() -> Deferred[int] | None:
            if process.pid is None:
                return None
            process.signalProcess("KILL")
            return child.done

        self.addCleanup(stop)
        return child

    def assertNoTraceback(self, child: Child) -> None:
        self.assertNotIn(b"Traceback", child.err)
        self.assertNotIn(b"please report", child.err)

    def file(self, content: bytes) -> str:
        path = Path(self.mktemp())
        path.write_bytes(content)
        return str(path)


class UsageTests(ProgramTestCase):
    @inlineCallbacks
    def usage(self, *arguments: str) -> Any:
        child = self.run_program(*arguments)
        self.assertEqual((yield child.done), Exit.USAGE, child.err)
        self.assertNoTraceback(child)
        self.assertEqual(child.out, b"")
        return child.err.decode()

    @inlineCallbacks
    def test_bad_arguments_end_the_process(self) -> Any:
        self.assertIn("COMMAND", (yield self.usage()))
        self.assertIn("--session", (yield self.usage("push", "x.js")))

    def test_bad_arguments(self) -> None:
        for arguments, words in (
            ([], "COMMAND"),
            (["dance"], "invalid choice: 'dance'"),
            (["push", "x.js"], "--session"),
            (["watch", "--session", "a/b"], "'a/b' is no session id"),
            (["watch", "--session", "A", "--relay", "ftp://x"], "does not start with ws://"),
            (["join", "--session", "A", "--device-id", "a b"], "'a b' is no device id"),
            (["join", "--session", "A", "--name", "x" * 65], "1 to 64 characters"),
            (["join", "--session", "A", "--platform", "beos"], "'ios' or 'android'"),
            (["push", "--session", "A", "--single", "--chunks", "x"], "not allowed with"),
            (["push", "--session", "A", "--wait", "nan", "x"], "--wait"),
            (["push", "--session", "A", "--wait", "-1", "x"], "--wait"),
            (["push", "--session", "A", "--retries", "1.5", "x"], "--retries"),
            (["watch", "--session", "A", "--level", "loud"], "invalid choice: 'loud'"),
            (["join", "--session", "A", "--have", ""], "a SHA-256 or a file"),
            (["fetch", "--output", "x"], "--session"),
            (["fetch", "--session", "A", "--sha256", "abc"], "'abc' is no SHA-256"),
            (["fetch", "--session", "A", "--have", ""], "a SHA-256 or a file"),
        ):
            self.patch(sys, "stderr", io.StringIO())
            ended = self.assertRaises(SystemExit, main, arguments)
            self.assertEqual(ended.code, Exit.USAGE)
            self.assertIn(words, sys.stderr.getvalue())

    def test_an_address_in_the_environment(self) -> None:
        self.patch(os, "environ", {**os.environ, "APPTUNER_RELAY": "nonsense"})
        self.patch(sys, "stderr", io.StringIO())
        ended = self.assertRaises(SystemExit, main, ["watch", "--session", "A"])
        self.assertEqual(ended.code, Exit.USAGE)
        self.assertIn("'nonsense' does not start with ws://", sys.stderr.getvalue())

    @inlineCallbacks
    def test_files_that_can_not_be_read(self) -> Any:
        said = yield self.usage("push", "--session", "A", "/nonexistent/x.js")
        self.assertEqual(
            said,
            "apptuner-relay push: error: /nonexistent/x.js: No such file or directory\n",
        )
        said = yield self.usage("push", "--session", "A", self.file(b"\xff"))
        self.assertIn("is not UTF-8", said)
        said = yield self.usage("fetch", "--session", "A", "--have", "/nonexistent/x.js")
        self.assertIn("neither a SHA-256", said)

    @inlineCallbacks
    def test_help(self) -> Any:
        commands = ("push", "join", "watch", "fetch", "share", "report", "plan")
        for arguments in ([], *([name] for name in commands)):
            child = self.run_program(*arguments, "--help")
            self.assertEqual((yield child.done), Exit.DONE)
            self.assertIn(b"exit codes:\n  0    done\n", child.out)

    @inlineCallbacks
    def test_without_rich(self) -> Any:
        script = (
            "import sys; sys.modules['rich'] = None\n"
            "from apptuner_relay.client.main import main\nsys.exit(main())"
        )
        child = self.run_program("watch", "--session", "A", script=script)
        self.assertEqual((yield child.done), Exit.USAGE)
        self.assertEqual(len(child.err.splitlines()), 1)
        self.assertIn(b"pip install 'apptuner-relay[client]'", child.err)


class ImportTests(ProgramTestCase):
    """Importing takes most of the time of a run that has little to do."""

    @inlineCallbacks
    def imported(self, *arguments: str, also: str = "sys") -> Any:
        """The libraries, and the modules of this package, that a run imports until it exits.

        :param also: a module that it imports before.
        """
        script = (
            f"import atexit, sys, {also}\n"
            "atexit.register(lambda: print('\\n' + ' '.join(sys.modules), file=sys.stderr))\n"
            "from apptuner_relay.client.main import main\nsys.exit(main())"
        )
        child = self.run_program(*arguments, script=script)
        code = yield child.done
        self.assertEqual(code, Exit.DONE, child.err)
        modules = child.err.decode().splitlines()[-1].split()
        return {name.partition(".")[0] for name in modules}, set(modules)

    @inlineCallbacks
    def test_version_and_help_import_no_library(self) -> Any:
        for arguments in (["--version"], ["--help"], ["completion", "bash"]):
            libraries, modules = yield self.imported(*arguments)
            self.assertEqual(libraries & HEAVY, set(), arguments)
            self.assertNotIn("apptuner_relay.client.push", modules)
            self.assertNotIn("asyncio", libraries)

    @inlineCallbacks
    def test_neither_does_help_for_what_is_used_most(self) -> Any:
        libraries, modules = yield self.imported("push", "--help")
        self.assertEqual(libraries & HEAVY, set())
        self.assertNotIn("apptuner_relay.client.push_start", modules)

    @inlineCallbacks
    def test_a_command_imports_what_it_needs(self) -> Any:
        http, channels = "twisted.web.client", "apptuner_relay.client.channel_connection"
        for name, spared in (
            ("push_start", {http, channels, "segno"}),
            ("watch", {http, channels, "segno"}),
            ("report", {http, "autobahn", "segno"}),
            ("plan", {http, "autobahn", "segno"}),
        ):
            module = f"apptuner_relay.client.{name}"
            _, modules = yield self.imported("--help", also=module)
            self.assertEqual(modules & spared, set(), name)

    @inlineCallbacks
    def test_the_version_without_any_library(self) -> Any:
        script = (
            f"import sys\nfor name in {sorted(HEAVY)}: sys.modules[name] = None\n"
            "from apptuner_relay.client.main import main\nsys.exit(main())"
        )
        child = self.run_program("--version", script=script)
        self.assertEqual((yield child.done), Exit.DONE, child.err)
        self.assertTrue(child.out.startswith(f"apptuner-relay {__version__}".encode()))


class RunTests(ProgramTestCase):
    @inlineCallbacks
    def test_a_bundle_from_one_process_to_another(self) -> Any:
        content = ("let a = '😀';\n" * 60_000).encode()
        output = self.mktemp()
        opened = self.relay.once("open")
        join = self.run_program("join", "--session", "A", "--once", "--output", output)
        yield opened
        push = self.run_program("push", "--session", "A", self.file(content))
        self.assertEqual((yield push.done), Exit.DONE, push.err)
        self.assertEqual((yield join.done), Exit.DONE, join.err)
        self.assertEqual(Path(output).read_bytes(), content)
        self.assertNoTraceback(push)
        self.assertNoTraceback(join)

    @inlineCallbacks
    def test_a_relay_that_is_not_there(self) -> Any:
        yield self.relay.close()
        child = self.run_program("push", "--session", "A", "--retries", "0", self.file(b"x"))
        self.assertEqual((yield child.done), Exit.NO_CONNECTION)
        self.assertNoTraceback(child)

    @inlineCallbacks
    def test_interrupted(self) -> Any:
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            opened = self.relay.once("open")
            child = self.run_program("join", "--session", "A")
            said = child.says(b"connected as device")
            peer = yield opened
            yield said
            child.transport.signalProcess(number)
            self.assertEqual((yield child.done), code)
            self.assertEqual(peer.closed, (True, 1000, None))
            self.assertNoTraceback(child)

    @inlineCallbacks
    def test_interrupted_between_two_tries(self) -> Any:
        yield self.relay.close()
        child = self.run_program("push", "--session", "A", self.file(b"x"))
        yield child.says(b"trying again")
        child.transport.signalProcess("INT")
        self.assertEqual((yield child.done), Exit.INTERRUPTED)
        self.assertNoTraceback(child)

    @inlineCallbacks
    def test_a_pipe_that_nobody_reads(self) -> Any:
        for arguments in ([], ["--json"]):
            opened = self.relay.once("open")
            child = self.run_program("watch", "--session", "A", *arguments)
            peer = yield opened
            child.transport.closeStdout()
            peer.say("cli_disconnected")
            self.assertEqual((yield child.done), Exit.DONE)
            self.assertNoTraceback(child)
            self.assertEqual(peer.closed, (True, 1000, None))

    @inlineCallbacks
    def test_a_result_that_nobody_reads_is_a_result_all_the_same(self) -> Any:
        output = self.mktemp()
        opened = self.relay.once("open")
        join = self.run_program("join", "--session", "A", "--once", "--output", output)
        yield opened
        join.transport.closeStdout()
        push = self.run_program("push", "--session", "A", self.file(b"x"))
        push.transport.closeStdout()
        self.assertEqual((yield push.done), Exit.DONE)
        self.assertEqual((yield join.done), Exit.DONE)

    @inlineCallbacks
    def test_a_terminal_that_knows_no_emoji(self) -> Any:
        opened = self.relay.once("open")
        child = self.run_program("watch", "--session", "A", PYTHONIOENCODING="latin-1")
        peer = yield opened
        peer.say("console_log", payload={"level": "log", "args": ["é😀"]})
        peer.say("x")
        peer.sendCloseFrame(1000, b"Session timeout")
        self.assertEqual((yield child.done), Exit.NO_CONNECTION)
        self.assertIn(b"\xe9\\U0001f600", child.out)
        self.assertNoTraceback(child)


class TLSTests(ProgramTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.certificate, context = self.make_certificate()
        self.secure = reactor.listenSSL(0, self.relay.port.factory, context, interface="127.0.0.1")
        self.addCleanup(self.secure.stopListening)
        self.url = f"wss://127.0.0.1:{self.secure.getHost().port}"

    def make_certificate(self) -> tuple[str, Any]:
        """Who has signed a certificate for 127.0.0.1, in a file, and that ready to serve."""
        authority = Authority()
        pair = authority.issue(names=("127.0.0.1",))
        context = ssl.PrivateCertificate.loadPEM(pair.chain + pair.key).options()
        return self.file(authority.pem), context

    @inlineCallbacks
    def test_a_certificate_that_nobody_vouches_for(self) -> Any:
        child = self.run_program("join", "--session", "A", "--relay", self.url)
        self.assertEqual((yield child.done), Exit.NO_CONNECTION)
        self.assertIn(b"the relay's certificate could not be verified: certificate", child.err)
        self.assertNotIn(b"trying again", child.err)
        self.assertNoTraceback(child)

    @inlineCallbacks
    def test_a_certificate_for_another_host(self) -> Any:
        url = self.url.replace("127.0.0.1", "localhost")
        child = self.run_program(
            "join", "--session", "A", "--relay", url, SSL_CERT_FILE=self.certificate
        )
        self.assertEqual((yield child.done), Exit.NO_CONNECTION)
        self.assertIn(b"the relay's certificate could not be verified", child.err)
        self.assertNotIn(b"trying again", child.err)
        self.assertNoTraceback(child)

    @inlineCallbacks
    def test_a_certificate_that_verifies(self) -> Any:
        content = b"0123456789" * 300_000
        output = self.mktemp()
        secure = {"SSL_CERT_FILE": self.certificate, "APPTUNER_RELAY": self.url}
        opened = self.relay.once("open")
        join = self.run_program("join", "--session", "A", "--once", "--output", output, **secure)
        yield opened
        push = self.run_program("push", "--session", "A", self.file(content), "--single", **secure)
        self.assertEqual((yield push.done), Exit.DONE, push.err)
        self.assertEqual((yield join.done), Exit.DONE, join.err)
        self.assertEqual(Path(output).read_bytes(), content)

    @inlineCallbacks
    def test_downloads_with_a_certificate_that_verifies(self) -> Any:
        code = b"0123456789" * 300_000
        output = self.mktemp()
        secure = {"SSL_CERT_FILE": self.certificate, "APPTUNER_RELAY": self.url}
        arguments = ["--session", "A", "--output", output]
        opened = self.relay.once("open")
        join = self.run_program("join", *arguments, "--once", "--announce", **secure)
        peer = yield opened
        peer.say("bundle_available", **self.relay.server.say(code, "A"))
        self.assertEqual((yield join.done), Exit.DONE, join.err)
        self.assertEqual(Path(output).read_bytes(), code)
        self.relay.server.put(b"newer", "A")
        self.relay.server.cut(3)
        fetch = self.run_program("fetch", *arguments, "--resume", **secure)
        self.assertEqual((yield fetch.done), Exit.DONE, fetch.err)
        self.assertEqual(Path(output).read_bytes(), b"newer")
        self.assertNoTraceback(fetch)

    @inlineCallbacks
    def test_downloads_where_nobody_vouches_for_the_certificate(self) -> Any:
        self.relay.server.put(b"x", "A")
        url = self.url.replace("127.0.0.1", "localhost")
        for relay, trusted in ((self.url, {}), (url, {"SSL_CERT_FILE": self.certificate})):
            child = self.run_program(
                "fetch", "--session", "A", "--relay", relay, "--resume", **trusted
            )
            self.assertEqual((yield child.done), Exit.NO_CONNECTION)
            self.assertIn(b"the relay's certificate could not be verified", child.err)
            self.assertNotIn(b"going on", child.err)
            self.assertNoTraceback(child)
        self.assertEqual(self.relay.server.requests, [])

    @inlineCallbacks
    def test_tls_where_none_is_spoken(self) -> Any:
        relay, _ = self.listen_refusing(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        url = str(relay).replace("ws://", "wss://")
        arguments = ["push", "--session", "A", "--relay", url, "--retries", "0", self.file(b"x")]
        child = self.run_program(*arguments)
        self.assertEqual((yield child.done), Exit.NO_CONNECTION)
        self.assertIn(b"the connection was lost: ", child.err)
        self.assertNoTraceback(child)
