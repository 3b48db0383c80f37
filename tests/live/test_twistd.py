"""The relay as an operator has it: options, environment, endpoints, the plugin."""

import os
import re
import shutil
import signal
import sys
from pathlib import Path

from twisted.internet.defer import Deferred

from apptuner_relay import __version__
from tests.live.harness import LiveCase
from tests.live.processes import (
    REPOSITORY,
    Child,
    RelayProcess,
    checkout_env,
    http,
    run,
    twistd_command,
    within_patience,
)

PLUGIN_FILE = (
    "from twisted.plugin import getPlugins\n"
    "from twisted.application.service import IServiceMaker\n"
    "import sys, importlib\n"
    "maker, = [p for p in getPlugins(IServiceMaker) if p.tapname == 'apptuner-relay']\n"
    "print(importlib.import_module(maker.module).__file__)\n"
)


class TwistdCase(LiveCase):
    def start(self, *options: str, env: dict[str, str] | None = None) -> RelayProcess:
        relay = RelayProcess(options, env)
        self.addCleanup(relay.stop)
        return relay

    async def refused(self, *options: str, **variables: str) -> str:
        """Start with what it can't take: it must end with 1 and one line, which is returned."""
        child = await run(
            [*twistd_command(), "apptuner-relay", *options], env=checkout_env(**variables)
        )
        self.assertEqual(child.exit_code, 1, repr(child))
        self.assertNotIn("Traceback", child.out + child.err)
        lines = child.err.splitlines()
        self.assertEqual(len(lines), 1, repr(child))
        return lines[0]


class ReleaseTest(TwistdCase):
    async def test_it_is_said_everywhere(self) -> None:
        """The first line of the log, `/health` and ``--version`` say the same."""
        relay = await self.relay()
        health = (await relay.get("/health")).json()
        commit = health["commit"]
        release = f"{__version__} ({commit})" if commit else __version__
        first = relay.log.splitlines()[0]
        self.assertIn(f" AppTuner Relay {release} starts: listens on tcp:", first)
        child = await run([*twistd_command(), "apptuner-relay", "--version"], env=checkout_env())
        self.assertEqual(child.out, f"apptuner-relay {release}\n")


class ServeTest(TwistdCase):
    """``apptuner-relay serve``, which runs twistd with what few know to say."""

    async def test_it_serves_and_leaves_no_pid_file(self) -> None:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        listening: Deferred[str] = Deferred()

        def line(text: str) -> None:
            found = re.search(r"listening on (tcp:127.0.0.1:\d+)", text)
            if found and not listening.called:
                listening.callback(found[1])

        words = ("serve", "--listen", "tcp:0:interface=127.0.0.1")
        program = [sys.executable, "-m", "apptuner_relay.client.main", *words]
        child = Child(program, cwd=folder, env=checkout_env(), on_line=line)
        self.addCleanup(child.kill)
        endpoint = await within_patience(listening, lambda: repr(child))
        self.assertEqual((await http(endpoint, "/health")).json()["status"], "ok")
        child.signal("TERM")
        await within_patience(child.over(), lambda: repr(child))
        # twistd ends by the signal that it was sent, once it has stopped.
        self.assertEqual((child.exit_signal, child.err), (signal.SIGTERM, ""))
        self.assertEqual(list(folder.iterdir()), [])

    async def test_what_it_is_given_is_read_by_the_relay(self) -> None:
        for words, said in (
            (["--max-mobils", "3"], "--max-mobils: no such option; did you mean --max-mobiles?"),
            (["--max-mobiles", "0"], "--max-mobiles: '0': must be a whole number, 1 to 1000"),
            (["stray"], "unexpected argument: 'stray'"),
        ):
            program = [sys.executable, "-m", "apptuner_relay.client.main", "serve", *words]
            child = await run(program, env=checkout_env())
            self.assertEqual((child.exit_code, child.out), (1, ""))
            self.assertEqual(child.err, f"apptuner-relay: {said}\n")


class OptionTest(TwistdCase):
    async def test_a_wrong_value_is_one_line(self) -> None:
        for option, value in (
            ("--max-message", "lots"),
            ("--max-message", "-1"),
            ("--session-timeout", "soon"),
            ("--max-mobiles", "0"),
        ):
            line = await self.refused(option, value)
            self.assertIn(option, line)
            self.assertIn(value, line)

    async def test_a_wrong_variable_is_one_line(self) -> None:
        line = await self.refused(APPTUNER_MAX_MESSAGE="lots")
        self.assertIn("APPTUNER_MAX_MESSAGE", line)
        self.assertIn("lots", line)

    async def test_an_unknown_option_is_one_line(self) -> None:
        self.assertIn("max-massage", await self.refused("--max-massage", "1"))

    async def test_no_such_endpoint(self) -> None:
        self.assertIn("carrier-pigeon", await self.refused("--listen", "carrier-pigeon:3000"))
        self.assertIn("tcp:http:x", await self.refused("--listen", "tcp:http:x"))
        self.assertIn("ssl:0", await self.refused("--listen", "ssl:0:privateKey=/no/such.pem"))
        for port in ("tcp:99999", "tcp:-1"):
            self.assertIn(port, await self.refused("--listen", port))

    async def test_no_such_endpoint_in_the_environment(self) -> None:
        line = await self.refused(APPTUNER_LISTEN="pigeon:1")
        self.assertIn("APPTUNER_LISTEN", line)

    async def test_help(self) -> None:
        child = await run([*twistd_command(), "apptuner-relay", "--help"], env=checkout_env())
        self.assertEqual(child.exit_code, 0, repr(child))
        text = " ".join(child.out.split())
        for option in ("listen", "max-message", "max-mobiles", "session-timeout", "ping-interval"):
            self.assertIn(f"--{option}", text)
            self.assertIn("APPTUNER_" + option.replace("-", "_").upper(), text)
        for default in ("tcp:3000", "50MiB", "30m"):
            self.assertIn(default, text)

    async def test_the_environment(self) -> None:
        relay = self.start(
            env={
                "APPTUNER_LISTEN": "tcp:0:interface=127.0.0.1",
                "APPTUNER_MAX_MOBILES": "1",
            }
        )
        await relay.listening()
        node = await self.node(relay)
        await node.join("mobile", "ABC234")
        self.assertEqual((await node.refused("mobile", "ABC234")).status, 403)

    async def test_older_spellings_go_on_working_with_a_line_each(self) -> None:
        relay = self.start(
            *("--listen", "tcp:0:interface=127.0.0.1", "--header-limit", "1KiB"),
            *("--tune", "log-interval=1h"),
            env={"APPTUNER_CLOSE_TIMEOUT": "1s"},
        )
        await relay.listening()
        self.assertEqual((await relay.get("/health?" + "x" * 2048)).status, 431)
        lines = [line for line in relay.log.splitlines() if "older spelling" in line]
        self.assertEqual(len(lines), 2, relay.log)
        for line, old, name in zip(
            lines,
            ("--header-limit", "APPTUNER_CLOSE_TIMEOUT"),
            ("header-limit", "close-timeout"),
            strict=True,
        ):
            said = f"{old} is an older spelling: use --tune {name}=VALUE or APPTUNER_TUNE"
            self.assertTrue(line.endswith(said), line)

    async def test_an_unknown_detail_is_one_line_with_all_there_are(self) -> None:
        line = await self.refused("--tune", "windows=1MiB")
        self.assertIn("'windows' is none of close-timeout, descriptors-limit,", line)

    async def test_the_command_line_wins(self) -> None:
        relay = self.start(
            *("--listen", "tcp:0:interface=127.0.0.1", "--max-mobiles", "2"),
            env={"APPTUNER_LISTEN": "tcp:nonsense", "APPTUNER_MAX_MOBILES": "1"},
        )
        await relay.listening()
        node = await self.node(relay)
        for _ in range(2):
            await node.join("mobile", "ABC234")
        self.assertEqual((await node.refused("mobile", "ABC234")).status, 403)


class ListenTest(TwistdCase):
    async def test_port_in_use(self) -> None:
        relay = await self.relay()
        await self.assertCannotListen(relay.port)

    async def test_one_of_two_in_use(self) -> None:
        relay = await self.relay()
        await self.assertCannotListen(relay.port, "--listen", "tcp:0:interface=127.0.0.1")

    async def test_port_in_use_by_a_daemon(self) -> None:
        relay = await self.relay()
        directory = Path(self.mktemp()).resolve()
        directory.mkdir()
        daemonize = [word for word in twistd_command() if word not in ("-n", "--nodaemon")]
        listen = ["--listen", f"tcp:{relay.port}:interface=127.0.0.1"]
        log = ["--logfile", str(directory / "twistd.log")]
        child = await run([*daemonize, *log, "apptuner-relay", *listen], env=checkout_env())
        self.assertEqual(child.exit_code, 1, repr(child))
        self.assertIn("in use", child.out + child.err)

    async def assertCannotListen(self, port: int, *options: str) -> None:
        """It ends with 1 and one line on the port, which may be one of the log by then."""
        options = (*options, "--listen", f"tcp:{port}:interface=127.0.0.1")
        child = await run([*twistd_command(), "apptuner-relay", *options], env=checkout_env())
        self.assertEqual(child.exit_code, 1, repr(child))
        output = child.out + child.err
        self.assertNotIn("Traceback", output)
        told = [line for line in output.splitlines() if f":{port}" in line]
        self.assertEqual(len(told), 1, repr(child))
        self.assertIn("in use", told[0])

    async def test_two_ports(self) -> None:
        relay = self.start(*["--listen", "tcp:0:interface=127.0.0.1"] * 2)
        first = await relay.logged(r"listening on \S*?127\.0\.0\.1:(\d+)")
        second = await relay.logged(rf"listening on \S*?127\.0\.0\.1:(?!{first[1]}\b)(\d+)")
        relay.port = int(first[1])
        node = await self.node(relay)
        cli = await node.join("cli", "ABC234")
        await node.join("mobile", "ABC234", url=f"ws://127.0.0.1:{second[1]}/mobile/ABC234")
        await cli.expect("mobile_connected")

    async def test_a_unix_socket(self) -> None:
        # The path of a UNIX socket may have some 100 characters, and that of a test has more.
        directory = Path(f"/tmp/apptuner-relay-test-{os.getpid()}")
        directory.mkdir()
        self.addCleanup(shutil.rmtree, directory)
        path = directory / "relay.sock"
        relay = await self.relay("--listen", f"unix:{path}")
        await relay.logged(r"listening on unix:/tmp/\S*relay\.sock")
        self.assertEqual((await http(f"unix:{path}", "/health")).json()["status"], "ok")
        node = await self.node(relay)
        cli = await node.join("cli", "ABC234", url=f"ws+unix:{path}:/cli/ABC234")
        phone = await node.join("mobile", "ABC234")
        sent = await cli.push_filler(5_000_000)
        self.assertEqual((await phone.bundle()).code, sent.code)
        await cli.pause()
        await phone.send({"type": "bundle_ack", "success": True})
        await cli.resume()
        await cli.expect("bundle_ack")

    async def test_ipv6(self) -> None:
        if not has_ipv6_loopback():
            self.skipTest("this machine has no IPv6 loopback, ::1")
        relay = self.start("--listen", r"tcp6:0:interface=\:\:1")
        relay.port = int((await relay.logged(r"listening on \S*:(\d+)\b"))[1])
        node = await self.node(relay)
        client = await node.open("cli", "ABC234", url=f"ws://[::1]:{relay.port}/cli/ABC234")
        await client.expect("connected")


def has_ipv6_loopback() -> bool:
    addresses = Path("/proc/net/if_inet6")
    return addresses.exists() and "0" * 31 + "1 " in addresses.read_text()


class DescriptorsTest(TwistdCase):
    async def test_few_are_said_to_be_few_and_the_soft_limit_is_raised(self) -> None:
        limited = ("sh", "-c", 'ulimit -Sn 200; ulimit -Hn 900; exec "$@"', "sh")
        relay = RelayProcess(["--listen", "tcp:0:interface=127.0.0.1"], within=limited)
        self.addCleanup(relay.stop)
        await relay.listening()
        await relay.logged("only 900 file descriptors")


class PluginTest(TwistdCase):
    async def test_from_the_checkout(self) -> None:
        child = await run([sys.executable, "-c", PLUGIN_FILE], env=checkout_env())
        self.assertEqual(child.exit_code, 0, repr(child))
        self.assertEqual(child.out.strip(), str(REPOSITORY / "apptuner_relay/tap.py"))

    async def test_after_an_installation(self) -> None:
        """``pip install`` into a fresh environment: twistd runs there, away from the checkout."""
        python, site_packages = await self.install()
        home = Path(self.mktemp()).resolve()
        home.mkdir()
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

        child = await run([python, "-c", PLUGIN_FILE], home, env)
        self.assertEqual(child.exit_code, 0, repr(child))
        self.assertEqual(child.out.strip(), str(site_packages / "apptuner_relay/tap.py"))

        child = await run([*twistd_command(python), "apptuner-relay", "--version"], home, env)
        self.assertEqual(child.out, f"apptuner-relay {__version__} (5e5866a)\n")
        # Who imports the relay has its types checked.
        self.assertTrue((site_packages / "apptuner_relay/py.typed").exists())

        script = Path(python).with_name("apptuner-relay")
        self.assertTrue(script.exists(), "no console script")
        child = await run([str(script), "completion", "bash"], home, env)
        self.assertIn("complete -o bashdefault", child.out, repr(child))
        # Where `man` looks for the pages of programs that are in its PATH.
        manual = Path(python).parents[1] / "share/man"
        for page in ("man1/apptuner-relay-push.1", "man8/apptuner-relay-server.8"):
            self.assertTrue((manual / page).exists(), page)

    async def install(self) -> tuple[str, Path]:
        """An environment that has this checkout of its own, and the rest of what we run in.

        :returns: its Python, and its site-packages.
        """
        base = Path(self.mktemp()).resolve()
        # A build leaves its traces in the source tree, so that is a copy.
        source = base / "source"
        shutil.copytree(
            REPOSITORY,
            source,
            ignore=shutil.ignore_patterns(
                *(".git", ".venv", "node_modules", "tests", "build", "_trial_temp*"),
                *("*.egg-info", "__pycache__", "dropin.cache", "out"),
            ),
        )
        venv = base / "venv"
        await self.do(sys.executable, "-m", "venv", "--without-pip", str(venv))
        python = str(venv / "bin/python")
        (site_packages,) = (venv / "lib").glob("python*/site-packages")
        # No network in a test: nothing is fetched, for the build or for what it depends on.
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
        offline = ["--quiet", "--no-index", "--no-deps"]
        await self.do(
            *(*pip, "wheel", *offline, "--no-build-isolation", f"--wheel-dir={base}", str(source)),
            RELAY_COMMIT="5e5866a",
        )
        (wheel,) = base.glob("apptuner_relay-*.whl")
        await self.do(*pip, "--python", python, "install", *offline, str(wheel))
        here = [path for path in sys.path if path.endswith("-packages")]
        (site_packages / "here.pth").write_text("\n".join(here) + "\n")
        return python, site_packages

    async def do(self, *argv: str, **more: str) -> Child:
        env = more | {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        child = await run(argv, env=env)
        self.assertEqual(child.exit_code, 0, repr(child))
        return child
