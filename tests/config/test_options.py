"""`apptuner_relay.config.options`: the table, the environment, and what wrong values look like."""

import contextlib
import io
import os

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.config.options import Options
from apptuner_relay.config.settings import OPTIONS, Settings
from apptuner_relay.support.version import release


def parse(*arguments: str, **environment: str) -> Settings:
    options = Options(environment)
    options.parseOptions(list(arguments))
    return options.settings


class Parsing(SynchronousTestCase):
    def test_defaults_are_what_the_help_says(self) -> None:
        self.assertEqual(parse(), Settings())
        for option in OPTIONS:
            value = getattr(getattr(Settings(), option.group), option.setting)
            self.assertEqual(option.parse(option.default), value)

    def test_command_line_wins(self) -> None:
        settings = parse("--max-mobiles", "7", APPTUNER_MAX_MOBILES="8", APPTUNER_MAX_PAGES="3")
        self.assertEqual((settings.limits.max_mobiles, settings.limits.max_pages), (7, 3))

    def test_units(self) -> None:
        self.assertEqual(parse("--max-message=1.5MiB").limits.max_message, 3 << 19)
        self.assertEqual(parse("--max-message=2048").limits.max_message, 2048)
        self.assertEqual(parse("--session-timeout=90").limits.session_timeout, 90)
        self.assertEqual(parse("--session-timeout=2h").limits.session_timeout, 7200)
        self.assertEqual(parse("--ping-interval=500ms").limits.ping_interval, 0.5)

    def test_listen(self) -> None:
        self.assertEqual(
            parse("--listen=tcp:1", "--listen=tcp6:2").listening.listen, ("tcp:1", "tcp6:2")
        )
        self.assertEqual(
            parse(APPTUNER_LISTEN="tcp:1  unix:/x").listening.listen, ("tcp:1", "unix:/x")
        )
        self.assertEqual(
            parse("--listen=tcp:1", APPTUNER_LISTEN="tcp:2").listening.listen, ("tcp:1",)
        )

    def test_wrong_values_are_one_line(self) -> None:
        for arguments, environment, named in [
            (["--max-mobiles=0"], {}, "--max-mobiles"),
            (["--max-mobiles=many"], {}, "--max-mobiles"),
            (["--max-message=12 parsecs"], {}, "--max-message"),
            (["--slow-time=-1"], {}, "--slow-time"),
            (["--max-message=1e400"], {}, "--max-message"),
            ([], {"APPTUNER_MAX_MESSAGE": ""}, "APPTUNER_MAX_MESSAGE"),
            (["--no-such-option"], {}, "no-such-option"),
            (["stray"], {}, "stray"),
            (["--compression=maybe"], {}, "--compression"),
            (["--max-mobiles=٣"], {}, "--max-mobiles"),
            ([], {"APPTUNER_MAX_MOBILE": "3"}, "APPTUNER_MAX_MOBILE"),
            (["--log-format=xml"], {}, "--log-format"),
            (["--tune=descriptors-limit=0%"], {}, "--tune descriptors-limit"),
            (["--tune=descriptors-limit=101%"], {}, "--tune descriptors-limit"),
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
        settings = parse("--memory-limit=512MiB", "--tune=descriptors-limit=62.5%")
        self.assertEqual(
            (settings.warnings.memory_limit, settings.warnings.descriptors_limit),
            (512 << 20, 0.625),
        )
        self.assertEqual(parse("--memory-limit=off").warnings.memory_limit, 0)
        self.assertIsNone(parse("--memory-limit=cgroup").warnings.memory_limit)

    def test_state_directory_is_absolute(self) -> None:
        # A daemon changes its directory before it opens any file.
        self.assertEqual(parse("--state-dir=here").logs.state_dir, os.path.abspath("here"))
        self.assertEqual(parse("--state-dir=off").logs.state_dir, "off")

    def test_forwarding(self) -> None:
        one, other = "/api/=http://127.0.0.1:4000", "/app=https://app.example"
        for options in (
            parse("--forward", one, "--forward", other),
            parse("--forward", f"{one} {other}"),
            parse(APPTUNER_FORWARD=f"{one} {other}"),
        ):
            self.assertEqual(
                [route.upstream for route in options.forwarding.forward.routes],
                ["http://127.0.0.1:4000", "https://app.example"],
            )
        self.assertFalse(parse(APPTUNER_FORWARD="none").forwarding.forward)

    def test_admin_token(self) -> None:
        self.assertEqual(parse("--admin-token=correct-horse").access.admin_token, "correct-horse")
        self.assertIsNone(parse(APPTUNER_ADMIN_TOKEN="").access.admin_token)
        path = self.mktemp()
        with open(path, "w") as file:
            file.write("battery-staple\n")
        self.assertEqual(parse(f"--admin-token=@{path}").access.admin_token, "battery-staple")

    def test_alert_url(self) -> None:
        url = "https://me:pw@hooks.example:8443/a/b?c=d"
        self.assertEqual(parse(APPTUNER_ALERT_URL=url).warnings.alert_url, url)
        self.assertIsNone(parse("--alert-url=none").warnings.alert_url)

    def test_a_cluster(self) -> None:
        with self.assertRaisesRegex(SystemExit, "--cluster-secret"):
            parse("--redis=redis://127.0.0.1")
        settings = parse(
            "--redis=redis://:5ecret@127.0.0.1",
            "--cluster-secret=battery-staple",
            "--node=a",
            "--node-address=wss://relay-1:3000",
        )
        self.assertEqual(str(settings.cluster.redis), "redis://127.0.0.1:6379")
        self.assertEqual(
            (settings.cluster.node, settings.cluster.node_address), ("a", "wss://relay-1:3000")
        )
        self.assertIsNone(parse("--node=auto", "--node-address=auto").cluster.node_address)
        for wrong in ("--node=a b", "--node-address=http://relay", "--node-address=ws://relay/x"):
            with self.assertRaises(SystemExit):
                parse(wrong)

    def test_a_managed_service(self) -> None:
        with self.assertRaisesRegex(SystemExit, "--managed-secret"):
            parse("--managed=pusher://key@s.example/1")
        settings = parse(
            "--managed=pusher://key@s.example/1",
            "--managed-secret=5ecret-5ecret",
            "--managed-event-limit=64KiB",
        ).managed
        self.assertEqual(str(settings.managed), "wss://s.example:443/app/key")
        self.assertEqual(settings.managed_secret, "5ecret-5ecret")
        self.assertEqual(
            (settings.managed_event_limit, settings.managed_prefix), (65536, "apptuner")
        )
        self.assertNotIn("5ecret", repr(settings))
        self.assertIsNone(parse("--managed=relay://key").managed.managed_secret)
        self.assertIsNone(parse("--managed=none").managed.managed)
        self.assertEqual(parse().managed.managed_event_limit, 9000)
        for wrong in ("--managed-event-limit=1B", "--managed-prefix=a b"):
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
            ("managed", "pusher://key:5ecret@s.example/1"),
            ("managed", "pusher://key@s.example/1?secret=5ecret"),
            ("managed-secret", "5ecret"),
        ]:
            with self.assertRaises(SystemExit) as caught:
                parse(f"--{option}={value}")
            message = str(caught.exception.code)
            self.assertIn(f"--{option}: ", message)
            self.assertNotIn("5ecret", message)
        settings = parse("--admin-token=5ecret-5ecret", "--alert-url=https://h/5ecret")
        self.assertNotIn("5ecret", repr(settings))

    def test_what_is_in_force_is_shown_with_its_source_and_no_secret(self) -> None:
        options = Options({"APPTUNER_TUNE": "window=1MiB", "APPTUNER_MAX_PAGES": "10"})
        options.parseOptions(["--admin-token=5ecret-5ecret", "--listen=tcp:1", "--listen=tcp:2"])
        self.assertEqual(
            [(one.option.name, one.source, one.shown) for one in options.in_force],
            [
                ("listen", "--listen", "tcp:1 tcp:2"),
                ("admin-token", "--admin-token", "***"),
                ("window", "APPTUNER_TUNE window", "1MiB"),
            ],
        )

    def test_help_is_the_table(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()) as out, self.assertRaises(SystemExit) as end:
            parse("--help")
        self.assertEqual(end.exception.code, 0)
        self.assertIn("\nLimits:\n", out.getvalue())

    def test_version(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()) as out, self.assertRaises(SystemExit):
            parse("--version")
        self.assertEqual(out.getvalue(), f"apptuner-relay {release()}\n")


class Tuning(SynchronousTestCase):
    """``--tune``, and the options that its details once were."""

    def parse(self, *arguments: str, **environment: str) -> Options:
        options = Options(environment)
        options.parseOptions(list(arguments))
        return options

    def test_each_has_three_spellings_and_an_older_one_is_warned_of(self) -> None:
        for option in OPTIONS:
            if not option.tune:
                continue
            value = option.default
            new = self.parse(f"--tune={option.name}={value}")
            self.assertEqual((new.settings, new.old_spellings), (Settings(), []))
            new = self.parse(APPTUNER_TUNE=f"{option.name}={value}")
            self.assertEqual((new.settings, new.old_spellings), (Settings(), []))
            for source, old in (
                (f"--{option.spelling}", self.parse(f"--{option.spelling}={value}")),
                (option.variable, self.parse(**{option.variable: value})),
            ):
                self.assertEqual(old.settings, Settings())
                self.assertEqual(old.old_spellings, [(source, option.name)])

    def test_the_command_line_and_the_newer_spelling_win(self) -> None:
        given: list[tuple[str, dict[str, str]]] = [
            ("--tune=window=16KiB", {}),
            ("--window=32KiB", {}),
            ("", {"APPTUNER_TUNE": "window=64KiB"}),
            ("", {"APPTUNER_WINDOW": "128KiB"}),
        ]
        for first, expected in enumerate((16, 32, 64, 128)):
            arguments = [one for one, _ in given[first:] if one]
            environment = {k: v for _, one in given[first:] for k, v in one.items()}
            settings = self.parse(*arguments, **environment).settings
            self.assertEqual(settings.limits.window, expected << 10)

    def test_several(self) -> None:
        for options in (
            self.parse("--tune", "window=1MiB", "--tune", "lag-limit=1s"),
            self.parse("--tune", " window=1 MiB  lag_limit = 1s "),
            self.parse(
                "--tune", "window=2MiB", "--tune", "WINDOW=1MiB", APPTUNER_TUNE="lag-limit=1s"
            ),
            self.parse(APPTUNER_TUNE="window=1MiB lag-limit=1s"),
        ):
            settings = options.settings
            self.assertEqual((settings.limits.window, settings.warnings.lag_limit), (1 << 20, 1.0))

    def test_a_detail_that_has_another_name_now(self) -> None:
        for options in (
            self.parse("--worry-time=1s"),
            self.parse(APPTUNER_WORRY_TIME="1s"),
            self.parse("--tune=worry-time=1s"),
        ):
            self.assertEqual(options.settings.warnings.warning_time, 1.0)
            self.assertEqual([name for _, name in options.old_spellings], ["warning-time"])
        for wrong in ({"APPTUNER_WARNING_TIME": "1s"}, {"APPTUNER_WINDOWS": "1MiB"}):
            with self.assertRaises(SystemExit):
                self.parse(**wrong)

    def test_wrong_ones_are_one_line(self) -> None:
        names = "close-timeout, descriptors-limit, drain-spread, failed-joins-total, header-limit, "
        for text, said in [
            ("windows=1MiB", names),
            ("=1MiB", names),
            ("window", "'window' must be NAME=VALUE"),
            ("window=1MiB lag-limit", "'1MiB lag-limit'"),
            ("max-mobiles=7", "max-mobiles is an option of its own: --max-mobiles"),
            ("window=1", "window: '1': must be 16KiB to 64MiB"),
        ]:
            for source, arguments, environment in (
                ("--tune", [f"--tune={text}"], {}),
                ("APPTUNER_TUNE", [], {"APPTUNER_TUNE": text}),
            ):
                with self.assertRaises(SystemExit) as caught:
                    self.parse(*arguments, **environment)
                message = str(caught.exception.code)
                self.assertIn(f"apptuner-relay: {source}", message)
                self.assertIn(said, message)
                self.assertNotIn("\n", message)
