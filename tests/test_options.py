"""`apptuner_relay.options`: the table, the environment, and what wrong values look like."""

import contextlib
import dataclasses
import io
import os

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.options import OPTIONS, Options, Settings


def parse(*arguments: str, **environment: str) -> Settings:
    options = Options(environment)
    options.parseOptions(list(arguments))
    return options.settings


class Parsing(SynchronousTestCase):
    def test_defaults_are_what_the_help_says(self) -> None:
        self.assertEqual(parse(), Settings())
        for option in OPTIONS:
            self.assertEqual(option.parse(option.default), getattr(Settings(), option.setting))

    def test_every_setting_is_an_option(self) -> None:
        names = {option.setting for option in OPTIONS} | {"listen"}
        self.assertEqual(names, {field.name for field in dataclasses.fields(Settings)})

    def test_command_line_wins(self) -> None:
        settings = parse("--max-mobiles", "7", APPTUNER_MAX_MOBILES="8", APPTUNER_WINDOW="1MiB")
        self.assertEqual((settings.max_mobiles, settings.window), (7, 1 << 20))

    def test_units(self) -> None:
        self.assertEqual(parse("--max-message=1.5MiB").max_message, 3 << 19)
        self.assertEqual(parse("--max-message=2048").max_message, 2048)
        self.assertEqual(parse("--session-timeout=90").session_timeout, 90)
        self.assertEqual(parse("--session-timeout=2h").session_timeout, 7200)
        self.assertEqual(parse("--ping-interval=500ms").ping_interval, 0.5)

    def test_listen(self) -> None:
        self.assertEqual(parse("--listen=tcp:1", "--listen=tcp6:2").listen, ("tcp:1", "tcp6:2"))
        self.assertEqual(parse(APPTUNER_LISTEN="tcp:1  unix:/x").listen, ("tcp:1", "unix:/x"))
        self.assertEqual(parse("--listen=tcp:1", APPTUNER_LISTEN="tcp:2").listen, ("tcp:1",))

    def test_wrong_values_are_one_line(self) -> None:
        for arguments, environment, named in [
            (["--max-mobiles=0"], {}, "--max-mobiles"),
            (["--max-mobiles=many"], {}, "--max-mobiles"),
            (["--window=12 parsecs"], {}, "--window"),
            (["--slow-time=-1"], {}, "--slow-time"),
            (["--max-message=1e400"], {}, "--max-message"),
            ([], {"APPTUNER_WINDOW": ""}, "APPTUNER_WINDOW"),
            (["--no-such-option"], {}, "no-such-option"),
            (["stray"], {}, "stray"),
            (["--compression=maybe"], {}, "--compression"),
            (["--max-mobiles=٣"], {}, "--max-mobiles"),
            ([], {"APPTUNER_MAX_MOBILE": "3"}, "APPTUNER_MAX_MOBILE"),
            (["--log-format=xml"], {}, "--log-format"),
            (["--descriptors-limit=0%"], {}, "--descriptors-limit"),
            (["--descriptors-limit=101%"], {}, "--descriptors-limit"),
            (["--memory-limit=lots"], {}, "--memory-limit"),
            (["--state-dir="], {}, "--state-dir"),
            (["--metrics=closed"], {}, "--metrics"),
            (["--admin-token=@/no/such/file"], {}, "--admin-token"),
            (["--trusted-proxy=10.0.0.1/8"], {}, "--trusted-proxy"),
            ([], {"APPTUNER_TRUSTED_PROXY": "0.0.0.0/0"}, "APPTUNER_TRUSTED_PROXY"),
        ]:
            with self.assertRaises(SystemExit) as caught:
                parse(*arguments, **environment)
            message = str(caught.exception.code)
            self.assertIn(named, message)
            self.assertNotIn("\n", message)

    def test_limits(self) -> None:
        settings = parse("--memory-limit=512MiB", "--descriptors-limit=62.5%")
        self.assertEqual((settings.memory_limit, settings.descriptors_limit), (512 << 20, 0.625))
        self.assertEqual(parse("--memory-limit=off").memory_limit, 0)
        self.assertIsNone(parse("--memory-limit=cgroup").memory_limit)

    def test_state_directory_is_absolute(self) -> None:
        # A daemon changes its directory before it opens any file.
        self.assertEqual(parse("--state-dir=here").state_dir, os.path.abspath("here"))
        self.assertEqual(parse("--state-dir=off").state_dir, "off")

    def test_forwarding(self) -> None:
        one, other = "/api/=http://127.0.0.1:4000", "/app=https://app.example"
        for options in (
            parse("--forward", one, "--forward", other),
            parse("--forward", f"{one} {other}"),
            parse(APPTUNER_FORWARD=f"{one} {other}"),
        ):
            self.assertEqual(
                [route.upstream for route in options.forward.routes],
                ["http://127.0.0.1:4000", "https://app.example"],
            )
        self.assertFalse(parse(APPTUNER_FORWARD="none").forward)

    def test_admin_token(self) -> None:
        self.assertEqual(parse("--admin-token=correct-horse").admin_token, "correct-horse")
        self.assertIsNone(parse(APPTUNER_ADMIN_TOKEN="").admin_token)
        path = self.mktemp()
        with open(path, "w") as file:
            file.write("battery-staple\n")
        self.assertEqual(parse(f"--admin-token=@{path}").admin_token, "battery-staple")

    def test_alert_url(self) -> None:
        url = "https://me:pw@hooks.example:8443/a/b?c=d"
        self.assertEqual(parse(APPTUNER_ALERT_URL=url).alert_url, url)
        self.assertIsNone(parse("--alert-url=none").alert_url)

    def test_a_cluster(self) -> None:
        with self.assertRaisesRegex(SystemExit, "--cluster-secret"):
            parse("--redis=redis://127.0.0.1")
        settings = parse(
            "--redis=redis://:5ecret@127.0.0.1",
            "--cluster-secret=battery-staple",
            "--node=a",
            "--node-address=wss://relay-1:3000",
        )
        self.assertEqual(str(settings.redis), "redis://127.0.0.1:6379")
        self.assertEqual((settings.node, settings.node_address), ("a", "wss://relay-1:3000"))
        self.assertIsNone(parse("--node=auto", "--node-address=auto").node_address)
        for wrong in ("--node=a b", "--node-address=http://relay", "--node-address=ws://relay/x"):
            with self.assertRaises(SystemExit):
                parse(wrong)

    def test_secrets_are_not_shown(self) -> None:
        for option, value in [
            ("admin-token", "5ecret"),
            ("admin-token", "5ecret with spaces"),
            ("admin-token", "5ecret-ü-and-more"),
            ("alert-url", "ftp://5ecret.example/"),
            ("alert-url", "https://5ecret:port/"),
            ("alert-url", "https://"),
            ("alert-url", "https://h/5ecret\r\nX: y"),
            ("redis", "redis://:5ecret@"),
            ("cluster-secret", "5ecret"),
            ("forward", "/api/=http://user:5ecret@127.0.0.1:4000"),
        ]:
            with self.assertRaises(SystemExit) as caught:
                parse(f"--{option}={value}")
            message = str(caught.exception.code)
            self.assertIn(f"--{option}: ", message)
            self.assertNotIn("5ecret", message)
        settings = parse("--admin-token=5ecret-5ecret", "--alert-url=https://h/5ecret")
        self.assertNotIn("5ecret", repr(settings))

    def test_help_names_every_option_and_variable(self) -> None:
        lines = str(Options({}))
        self.assertNotIn("by  ", lines)
        text = " ".join(lines.split())
        for option in OPTIONS:
            self.assertIn(f"--{option.name}=", text)
            self.assertIn(option.variable, text)
            self.assertIn(f"default: {option.default}", text)
        self.assertIn("--listen=", text)

    def test_version(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()) as out, self.assertRaises(SystemExit):
            parse("--version")
        self.assertTrue(out.getvalue().startswith("apptuner-relay "))
