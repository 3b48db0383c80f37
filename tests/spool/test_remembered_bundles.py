"""`apptuner_relay.spool.remembered_bundles`."""

from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.spool.bundle_log import BundleLog
from apptuner_relay.spool.remembered_bundles import RememberedBundles


class Bundle:
    """Stands for a `BundleLog`."""


def bundle() -> BundleLog:
    return cast(Any, Bundle())


class Remembering(SynchronousTestCase):
    def test_those_that_were_added(self) -> None:
        remembered, one, other, third = RememberedBundles(), bundle(), bundle(), bundle()
        self.assertNotIn(one, remembered)
        remembered.add(one)
        remembered.add(one)
        remembered.update([other])
        self.assertEqual([each in remembered for each in (one, other, third)], [True, True, False])

    def test_none_is_kept_alive(self) -> None:
        remembered, one, kept = RememberedBundles(), bundle(), bundle()
        remembered.update([one, kept])
        del one
        remembered.add(bundle())
        self.assertIn(kept, remembered)
        self.assertEqual(sum(ref() is not None for ref in remembered._bundles), 1)
