"""Tests with a certificate in files."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.certificates import Authority, Live, Pair

AUTHORITY = Authority()


class CertificateCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.live = Live(Path(self.mktemp()))

    def install(self, days: float = 90, since: float = -1) -> Pair:
        pair = AUTHORITY.issue(days, since)
        self.live.install(pair.chain, pair.key)
        return pair
