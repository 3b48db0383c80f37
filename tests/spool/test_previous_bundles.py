"""`apptuner_relay.spool.previous_bundles`: which bundles stay that are not their session's last."""

from twisted.internet.defer import Deferred, fail

from apptuner_relay.spool.bundle import CodeFile, NoCode
from apptuner_relay.spool.bundle_file import BundleFile
from apptuner_relay.spool.previous_bundles import find_base
from tests.spool.storing import StoreCase


class PreviousCase(StoreCase):
    def sha256_of(self, bundle: BundleFile) -> str:
        return self.successResultOf(bundle.digest()).sha256

    def find(self, sha256: str) -> BundleFile | None:
        """The base with this SHA-256, which is released at once."""
        base = self.successResultOf(Deferred.fromCoroutine(self.store.base("a", sha256)))
        if base is not None:
            self.assertTrue(base.in_use)
            base.release()
        return base


class LentTest(PreviousCase):
    def test_one_that_a_client_has_stays_as_a_base(self) -> None:
        first = self.put("a", 100)
        sha256 = self.sha256_of(first)
        self.store.lend(first)
        second = self.put("a", 200)
        self.assertEqual(len(self.store.files()), 2)
        self.assertIs(self.find(sha256), first)
        self.assertIs(self.find(self.sha256_of(second)), second)
        self.assertIsNone(self.find("0" * 64))
        # Nobody has the second one.
        self.put("a", 300)
        self.assertIs(self.find(sha256), first)
        self.assertEqual(len(self.store.files()), 2)

    def test_one_that_nobody_has_does_not(self) -> None:
        first = self.put("a", 100)
        self.successResultOf(first.code("identity"))
        sha256 = self.sha256_of(first)
        self.put("a", 200)
        self.assertIsNone(self.find(sha256))

    def test_one_of_each_session(self) -> None:
        for size in (100, 200, 300):
            bundle = self.put("a", size)
            self.store.lend(bundle)
        self.assertEqual(len(self.store.files()), 2)
        self.store.forget("a")
        self.assertEqual((self.store.files(), self.store.used_bytes), ([], 0))


class FindTest(PreviousCase):
    def test_what_can_not_be_read_is_passed_over(self) -> None:
        first, second = self.put("a", 100), self.put("b", 200)
        sha256 = self.sha256_of(second)

        self.patch(first, "digest", lambda: fail(NoCode("gone")))
        finding = Deferred.fromCoroutine(find_base([first, None, second], sha256))
        self.assertIs(self.successResultOf(finding), second)
        second.release()
        self.assertEqual((first.in_use, second.in_use), (False, False))


class FromADictionaryTest(PreviousCase):
    def test_its_files_are_counted_and_go_with_it(self) -> None:
        base, bundle = self.put("a", 1000), self.put("b", 1100)
        path = self.successResultOf(base.code("identity"))
        self.sha256_of(bundle)
        before = self.store.used_bytes
        dictionary = CodeFile(path, self.sha256_of(base))
        coded = self.successResultOf(bundle.code("dcz", dictionary))
        self.assertEqual(self.successResultOf(bundle.code("dcz", dictionary)), coded)
        self.assertEqual(self.store.used_bytes, before + coded.stat().st_size)
        self.store.forget("b")
        self.assertFalse(coded.exists())
        self.assertEqual(self.store.used_bytes, base.size + 1000)
