"""What is checked of names in the directory, and what a node without one does not import."""

import sys

from twisted.internet.defer import ensureDeferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from apptuner_relay.cluster.ownership.directory import check_role, check_session, clean_reason
from tests.live.processes import checkout_env, run

SESSION = "a" * 64


class Names(SynchronousTestCase):
    """What others may have written."""

    def test_ids_are_no_hashes(self) -> None:
        self.assertEqual(check_session(SESSION), SESSION)
        for bad in ("ABC234", SESSION.upper(), SESSION + "\n", ""):
            wrong = self.assertRaises(ValueError, check_session, bad)
            self.assertNotIn("ABC234", str(wrong))

    def test_roles(self) -> None:
        self.assertEqual(check_role("mobile"), "mobile")
        for bad in ("", "Mobile", "cli ", "a" * 17):
            self.assertRaises(ValueError, check_role, bad)

    def test_a_reason_fits_a_close_frame_and_a_line(self) -> None:
        self.assertEqual(clean_reason("two\nlines"), "two lines")
        self.assertEqual(clean_reason("é" * 100).encode(), ("é" * 61).encode())


class Imports(TestCase):
    timeout = 60

    def test_without_redis_its_library_is_not_imported(self) -> None:
        async def check() -> None:
            code = (
                "import sys, apptuner_relay.tap, apptuner_relay.cluster.ownership.directory\n"
                "import apptuner_relay.config.redis_url\n"
                "print('txredisapi' in sys.modules)"
            )
            child = await run([sys.executable, "-c", code], env=checkout_env())
            self.assertEqual(child.out.strip(), "False", repr(child))

        return ensureDeferred(check())
