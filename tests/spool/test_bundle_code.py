"""`apptuner_relay.spool.bundle_code`: content addresses and files, asked for before and after."""

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.spool.bundle import IDENTITY, CodeFile, Digest, NoCode, NotNow
from apptuner_relay.spool.bundle_code import BundleCode
from apptuner_relay.wire.frames import COMPRESSED, TEXT
from tests.memory import deflated, masked
from tests.spool.cases import Spooled, some_code


def update(code: bytes) -> bytes:
    return b'{"type":"bundle_update","payload":{"code":"%b"}}' % code


class Unreadable(Spooled):
    def test_its_file_has_gone(self) -> None:
        cli = self.connect("cli")
        self.bundle(cli, some_code(300_000))
        for file in self.store.files():
            file.unlink()
        phone = self.connect("mobile", "replay=1")
        self.assertEqual(self.texts(phone), [])
        self.assertEqual(self.store.bundles, 0)
        text = self.bundle(cli, "next")
        self.assertTexts(self.texts(phone), [text])

    def test_a_small_one_whose_type_is_not_first(self) -> None:
        cli = self.connect("cli")
        text = b'{"timestamp": 1, "type": "bundle_update", "payload": {"code": "%b"}}' % (
            b"x" * 999
        )
        cli.send_raw(masked(TEXT, text))
        self.assertTexts(self.texts(self.connect("mobile", "replay=1")), [text])

    def test_one_that_is_no_text(self) -> None:
        cli = self.connect("cli", deflate=True)
        cli.send_raw(masked(TEXT | COMPRESSED, deflated(update(b"\xff"))))
        phone = self.connect("mobile", "replay=1")
        self.assertEqual(self.store.bundles, 0)
        cli.read()
        assert cli.closed is not None
        self.assertEqual(cli.closed[0], 1007)
        text = self.bundle(self.connect("cli"), "next")
        self.assertIn(text, self.texts(phone))
        self.assertIsNone(phone.closed)


DIGEST = Digest("0" * 64, 7, 7)


class DigestionByHand:
    """A content address that comes when the test says so."""

    def __init__(self) -> None:
        self.result: Deferred[Digest] = Deferred()
        self.told: list[int | str] = []

    def written(self, size: int) -> None:
        self.told.append(size)

    def finish(self) -> None:
        self.told.append("finish")

    def cancel(self) -> None:
        self.told.append("cancel")


class CodeCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.started: list[DigestionByHand] = []
        self.made: list[Deferred[Path]] = []
        self.code = BundleCode(Path("bundle"), self.start, self.make)

    def start(self, path: Path) -> Any:
        self.started.append(DigestionByHand())
        return self.started[-1]

    def make(self, coding: str, base: CodeFile | None) -> Deferred[Path]:
        self.made.append(Deferred())
        return self.made[-1]


class ContentAddress(CodeCase):
    def test_is_computed_once_for_all_who_ask(self) -> None:
        asked = [self.code.digest(), self.code.digest()]
        self.started[0].result.callback(DIGEST)
        asked.append(self.code.digest())
        self.assertEqual([self.successResultOf(one) for one in asked], [DIGEST] * 3)
        self.assertEqual(len(self.started), 1)

    def test_is_not_computed_before_somebody_asks(self) -> None:
        self.code.written(10, False)
        self.assertEqual(self.started, [])
        self.code.digest()
        self.assertEqual(self.started[0].told, [10])

    def test_follows_a_bundle_that_grows(self) -> None:
        self.code.digest()
        self.code.written(10, False)
        self.code.written(20, True)
        self.assertEqual(self.started[0].told, [0, 10, 20, "finish"])

    def test_of_a_bundle_that_is_cut_fails_for_all(self) -> None:
        waiting = self.code.digest()
        self.code.fail("it was cut short")
        for asked in (waiting, self.code.digest()):
            self.assertEqual(str(self.failureResultOf(asked, NoCode).value), "it was cut short")

    def test_that_could_not_be_computed_now_is_tried_again(self) -> None:
        first = self.code.digest()
        self.started[0].result.errback(NotNow("the worker died"))
        self.failureResultOf(first, NotNow)
        second = self.code.digest()
        self.started[1].result.callback(DIGEST)
        self.assertEqual(self.successResultOf(second), DIGEST)

    def expect(self) -> Path:
        """The address is known before, and there is a file with the code."""
        made, own = Path(self.mktemp()), Path(self.mktemp())
        made.write_text("code")
        self.assertTrue(self.code.expect(DIGEST, made, own))
        return own

    def test_the_code_that_comes_with_it_is_its_own(self) -> None:
        own = self.expect()
        self.assertTrue(self.code.has_file(IDENTITY))
        self.assertEqual(self.successResultOf(self.code.file(IDENTITY)).read_text(), "code")
        self.assertEqual(self.code.give_away(), [own])

    def test_code_that_can_not_be_moved_is_made_when_it_is_needed(self) -> None:
        missing = Path(self.mktemp())
        self.assertFalse(self.code.expect(DIGEST, missing, missing))
        self.assertFalse(self.code.has_file(IDENTITY))
        self.code.written(20, True)
        self.assertEqual(self.successResultOf(self.code.digest()), DIGEST)

    def test_that_is_known_before_is_not_computed(self) -> None:
        self.expect()
        waiting = self.code.digest()
        self.code.written(10, False)
        self.assertNoResult(waiting)
        self.code.written(20, True)
        self.assertEqual(self.successResultOf(waiting), DIGEST)
        self.assertEqual(self.successResultOf(self.code.digest()), DIGEST)
        self.assertEqual(self.started, [])

    def test_that_is_known_of_a_bundle_that_is_cut(self) -> None:
        self.expect()
        waiting = self.code.digest()
        self.code.fail("it was cut short")
        self.failureResultOf(waiting, NoCode)

    def test_is_no_longer_computed_when_the_file_is_given_away(self) -> None:
        waiting = self.code.digest()
        self.assertEqual(self.code.give_away(), [])
        self.failureResultOf(waiting, NoCode)
        self.assertEqual(self.started[0].told[-1], "cancel")


class Files(CodeCase):
    def test_one_for_all_who_ask(self) -> None:
        asked = [self.code.file("br"), self.code.file("br")]
        self.made[0].callback(Path("bundle.br"))
        asked.append(self.code.file("br"))
        self.assertEqual([self.successResultOf(one) for one in asked], [Path("bundle.br")] * 3)
        self.assertEqual((len(self.made), self.code.give_away()), (1, [Path("bundle.br")]))

    def test_one_that_failed_is_tried_again(self) -> None:
        asked = [self.code.file("br"), self.code.file("br")]
        self.made[0].errback(NotNow("the worker died"))
        for one in asked:
            self.failureResultOf(one, NotNow)
        again = self.code.file("br")
        self.made[1].callback(Path("bundle.br"))
        self.assertEqual(self.successResultOf(again), Path("bundle.br"))
