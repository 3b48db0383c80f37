"""`apptuner_relay.support.zstd_library`: an optional library, of one name or another."""

import sys
from types import ModuleType

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.support import zstd_library


class LibraryTest(SynchronousTestCase):
    def test_there_is_none(self) -> None:
        self.patch(zstd_library, "_NAMES", ("nothing_like_it.zstd", "json.zstd"))
        self.assertFalse(zstd_library.is_installed())
        self.assertIsNone(zstd_library.load())

    def test_the_first_that_there_is(self) -> None:
        self.patch(zstd_library, "_NAMES", ("nothing_like_it.zstd", "json.decoder", "json"))
        self.assertTrue(zstd_library.is_installed())
        loaded = zstd_library.load()
        self.assertIsInstance(loaded, ModuleType)
        self.assertIs(loaded, sys.modules["json.decoder"])
