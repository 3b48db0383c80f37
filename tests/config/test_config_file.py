"""`apptuner_relay.config.config_file`, and ``--config``: options in a file."""

import tomllib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.config.config_file import BadFile, read_config_file
from apptuner_relay.config.options import Options
from apptuner_relay.config.settings import OPTIONS, Settings

_ROOT = Path(__file__).resolve().parents[2]


class ConfigFileTest(SynchronousTestCase):
    def write(self, text: str | bytes) -> str:
        path = Path(self.mktemp())
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    def parse(self, text: str, *arguments: str, **environment: str) -> Options:
        options = Options(environment)
        options.parseOptions([f"--config={self.write(text)}", *arguments])
        return options

    def refusal(self, text: str | bytes) -> str:
        options, path = Options({}), self.write(text)
        with self.assertRaises(SystemExit) as caught:
            options.parseOptions(["--config", path])
        said = str(caught.exception.code)
        self.assertNotIn("\n", said)
        self.assertIn(path, said)
        return said.replace(path, "FILE")

    def test_values(self) -> None:
        options = self.parse(
            """
            listen = ["tcp:3000", "unix:/run/a b.sock"]
            max-mobiles = 8
            compression = false
            session-timeout = 90
            max-message = "1.5MiB"
            drain-timeout = false
            allowed-origin = ["https://a.example", "https://b.example"]
            trusted-proxy = ["10.0.0.1", "10.1.0.0/16"]
            [tune]
            window = "1MiB"
            lag-limit = 0.5
            """
        )
        settings = options.settings
        self.assertEqual(settings.listening.listen, ("tcp:3000", "unix:/run/a b.sock"))
        self.assertTrue(options.listen_source.endswith(": listen"))
        self.assertEqual((settings.limits.max_mobiles, settings.listening.compression), (8, False))
        self.assertEqual((settings.limits.session_timeout, settings.limits.drain_timeout), (90, 0))
        self.assertEqual((settings.limits.max_message, settings.limits.window), (3 << 19, 1 << 20))
        self.assertEqual(settings.warnings.lag_limit, 0.5)
        self.assertIn("10.1.0.0/16", str(settings.listening.trusted_proxy))

    def test_the_command_line_and_the_environment_win(self) -> None:
        text = 'max-mobiles = 2\nmax-pages = 2\nlisten = "tcp:1 tcp:2"\n[tune]\nwindow = "1MiB"'
        for arguments, environment, mobiles, pages, window, listen in (
            ([], {}, 2, 2, 1 << 20, ("tcp:1", "tcp:2")),
            (
                [],
                {"APPTUNER_MAX_MOBILES": "3", "APPTUNER_LISTEN": "tcp:3"},
                3,
                2,
                1 << 20,
                ("tcp:3",),
            ),
            (["--max-mobiles=4"], {"APPTUNER_MAX_MOBILES": "3"}, 4, 2, 1 << 20, ("tcp:1", "tcp:2")),
            (["--tune=window=2MiB"], {}, 2, 2, 2 << 20, ("tcp:1", "tcp:2")),
            (["--listen=tcp:4"], {"APPTUNER_TUNE": "window=4MiB"}, 2, 2, 4 << 20, ("tcp:4",)),
        ):
            settings = self.parse(text, *arguments, **environment).settings
            self.assertEqual(
                (
                    settings.limits.max_mobiles,
                    settings.limits.max_pages,
                    settings.limits.window,
                    settings.listening.listen,
                ),
                (mobiles, pages, window, listen),
            )

    def test_the_variable_names_a_file_too(self) -> None:
        options = Options({"APPTUNER_CONFIG": self.write("max-mobiles = 7")})
        options.parseOptions([])
        self.assertEqual(options.settings.limits.max_mobiles, 7)
        for path in ("/no/such/file", "/", "a\0b"):
            options = Options({"APPTUNER_CONFIG": path})
            with self.assertRaises(SystemExit) as caught:
                options.parseOptions([])
            self.assertIn("APPTUNER_CONFIG: ", str(caught.exception.code))

    def test_wrong_files_are_one_line(self) -> None:
        for text, said in (
            ("max-mobiles = ", "--config: FILE: not TOML: Invalid value (at end of document)"),
            ("max-mobile = 8", "FILE: max-mobile: no such option; did you mean max-mobiles?"),
            ("zzz = 8", "FILE: zzz: no such option; --help lists them"),
            ("window = '1MiB'", "FILE: window is a detail: it stands below [tune]"),
            ("tune = 3", "FILE: tune must be a table: [tune]"),
            ("[tune]\nwindows = 1", "did you mean window?"),
            ("[tune]\nmax-mobiles = 1", "max-mobiles is an option of its own"),
            ("[limits]\nmax-mobiles = 8", "FILE: limits is a table: options stand at the top"),
            ("max-mobiles = [8]", "FILE: max-mobiles takes one value, not an array"),
            ("listen = [3000]", "FILE: listen must be an array of strings"),
            ("session-timeout = 2026-01-01", "FILE: session-timeout must be a string, a number"),
            ("max-mobiles = 0", "FILE: max-mobiles: '0': must be a whole number, 1 to 1000"),
            ("tls-cert = '/c.pem'", "FILE: tls-cert: has no effect without a tls: endpoint"),
            (b"max-mobiles = '\xff'", "FILE: not UTF-8, at byte 15"),
        ):
            self.assertIn(said, self.refusal(text))

    def test_secrets_are_not_shown(self) -> None:
        self.assertNotIn("5ecret", self.refusal("admin-token = '5ecret'"))

    @given(st.text(max_size=200))
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        path = Path(self.mktemp())
        path.write_text(text, "utf-8", newline="")
        try:
            read_config_file(str(path), ("listen",))
        except BadFile as wrong:
            self.assertIn(str(path), str(wrong))


class ExampleFile(SynchronousTestCase):
    """``ops/relay.toml``, which has every option."""

    def test_it_changes_nothing_as_it_is(self) -> None:
        text = (_ROOT / "ops/relay.toml").read_text("utf-8")
        self.assertEqual(tomllib.loads(text), {"tune": {}})

    def test_each_option_in_it_has_its_default(self) -> None:
        lines = (_ROOT / "ops/relay.toml").read_text("utf-8").splitlines()
        text = "\n".join(line.removeprefix("#") for line in lines if not line.startswith("# "))
        keys = tomllib.loads(text)
        names = [*keys.pop("tune"), *keys]
        self.assertEqual(sorted(names), sorted(option.name for option in OPTIONS))
        options, path = Options({}), Path(self.mktemp())
        path.write_text(text, "utf-8")
        uid = f"spool-dir={Settings().bundles.spool_dir}"
        options.parseOptions([f"--config={path}", f"--{uid}"])
        self.assertEqual(options.settings, Settings())
