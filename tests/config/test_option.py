"""`apptuner_relay.config.option`: a field of a group, and all that is said of it."""

from dataclasses import dataclass

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.config.option import option, options_of
from apptuner_relay.config.parsers import KIB, Parser, or_none, size


@dataclass(frozen=True)
class _Group:
    head_size: int = option("2KiB", size(KIB, 64 * KIB), "How large", tune=True, former="old-size")
    pass_word: str | None = option("none", or_none(Parser(str, "TEXT"), None), "How", secret=True)


class Fields(SynchronousTestCase):
    def test_the_default_is_parsed(self) -> None:
        self.assertEqual((_Group().head_size, _Group().pass_word), (2048, None))
        self.assertEqual(_Group.head_size, 2048)

    def test_a_secret_is_not_shown(self) -> None:
        self.assertEqual(repr(_Group(pass_word="5ecret")), "_Group(head_size=2048)")

    def test_options(self) -> None:
        one, other = options_of("sizes", _Group)
        self.assertEqual((one.group, one.setting, one.default), ("sizes", "head_size", "2KiB"))
        self.assertEqual((one.name, one.spelling), ("head-size", "old-size"))
        self.assertEqual(one.variable, "APPTUNER_OLD_SIZE")
        self.assertEqual((other.name, other.spelling), ("pass-word", "pass-word"))
        self.assertEqual(other.variable, "APPTUNER_PASS_WORD")
        self.assertTrue(other.secret and not other.tune and one.tune)
