"""`apptuner_relay.config.unused`: options that change nothing are refused."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.config.options import Options
from apptuner_relay.config.settings import OPTIONS
from apptuner_relay.config.unused import _NEEDS

NO_TLS = "a tls: endpoint in --listen"
REDIS = "--redis=rediss://10.0.0.1"
SECRET = "--cluster-secret=correct-horse"
MANAGED_SECRET = "--managed-secret=battery-staple"


class Unused(SynchronousTestCase):
    def refusal(self, *arguments: str, **environment: str) -> str:
        """What the relay says of these options; nothing where it takes them."""
        options = Options(environment)
        try:
            options.parseOptions(list(arguments))
        except SystemExit as end:
            return str(end.code)
        return ""

    def test_each_is_named_as_it_was_given(self) -> None:
        for arguments, environment, expected in [
            (["--tls-cert=/c.pem"], {}, ("--tls-cert", NO_TLS)),
            (["--tune=tls-look=5s"], {}, ("--tune tls-look", NO_TLS)),
            (
                ["--tls-cert=/c.pem"],
                {"APPTUNER_TLS_KEY": "/k.pem"},
                ("--tls-cert", NO_TLS),
            ),
            ([], {"APPTUNER_TLS_KEY": "/k.pem"}, ("APPTUNER_TLS_KEY", NO_TLS)),
            (["--claims=off", "--claim-ttl=1d"], {}, ("--claim-ttl", "--claims on")),
            (["--spool-dir=off", "--bundle-ttl=1m"], {}, ("--bundle-ttl", "--spool-dir")),
            ([], {"APPTUNER_NODE": "relay-1"}, ("APPTUNER_NODE", "--redis")),
            ([SECRET], {}, ("--cluster-secret", "--redis")),
            (["--redis-ca=/ca.pem"], {}, ("--redis-ca", "--redis")),
            (
                ["--redis=redis://10.0.0.1", SECRET, "--redis-ca=/ca.pem"],
                {},
                ("--redis-ca", "a rediss:// URL in --redis"),
            ),
            (["--forward-limit=1MiB"], {}, ("--forward-limit", "--forward")),
            (["--managed-prefix=x"], {}, ("--managed-prefix", "--managed")),
            (["--managed-ca=/ca.pem"], {}, ("--managed-ca", "--managed")),
            (
                ["--managed=relay://key", "--managed-ca=/ca.pem"],
                {},
                ("--managed-ca", "a service with TLS in --managed"),
            ),
        ]:
            said = "apptuner-relay: {}: has no effect without {}".format(*expected)
            self.assertEqual(self.refusal(*arguments, **environment), said)

    def test_what_is_used_is_none_of_them(self) -> None:
        for arguments in (
            [],
            ["--listen=tls:tcp:443", "--tls-cert=/c.pem", "--tls-key=/k.pem"],
            ["--listen=tcp:80", "--listen=proxy:tls:tcp:443", "--tls-cert=/c.pem"],
            ["--claim-ttl=1d", "--bundle-ttl=1m", "--spool-limit=1GiB"],
            [REDIS, SECRET, "--redis-ca=/ca.pem", "--node=relay-1", "--node-ca=/ca.pem"],
            ["--forward=/api/=http://127.0.0.1:4000", "--forward-limit=1MiB"],
            ["--managed=relay://key", MANAGED_SECRET, "--managed-event-limit=64KiB"],
            ["--managed=pusher://key@s.example/1", MANAGED_SECRET, "--managed-ca=/ca.pem"],
        ):
            self.assertEqual(self.refusal(*arguments), "", arguments)

    def test_a_default_that_is_said_changes_nothing_and_is_no_mistake(self) -> None:
        given = [
            f"--{option.name}={option.default}"
            for option in OPTIONS
            if any(option.setting in need.of for need in _NEEDS) and not option.tune
        ]
        self.assertGreater(len(given), 10)
        said = self.refusal(*given, APPTUNER_TLS_CERT="", APPTUNER_NODE_CA="none")
        self.assertEqual(said, "")
