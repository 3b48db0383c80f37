"""`apptuner_relay.support.version`: the release and its commit, as far as anything knows it."""

import os
import subprocess
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay import __version__
from apptuner_relay.support import version
from apptuner_relay.support.version import find_commit

IDENTITY = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.com")


class FindCommitTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.checkout = Path(self.mktemp()).resolve()
        self.package = self.checkout / "package"
        self.package.mkdir(parents=True)

    def git(self, *words: str) -> str:
        try:
            done = subprocess.run(
                ["git", "-C", str(self.checkout), *IDENTITY, *words],
                capture_output=True,
                text=True,
                check=True,
            )
        except FileNotFoundError:
            raise SkipTest("no git here") from None
        return done.stdout.strip()

    def make_repository(self) -> str:
        """With one commit, whose short name it returns."""
        self.git("init", "--quiet")
        (self.package / "module.py").write_text("one = 1\n")
        self.git("add", "package")
        self.git("commit", "--quiet", "--no-verify", "--message=One")
        # A release's tag has no place in it.
        self.git("tag", "--annotate", "--message=One", "v1")
        return self.git("rev-parse", "--short", "HEAD")

    def test_what_the_build_wrote(self) -> None:
        (self.package / "commit.txt").write_text("5e5866a\n")
        self.assertEqual(find_commit(self.package), "5e5866a")

    def test_what_the_build_wrote_counts_before_a_repository(self) -> None:
        self.make_repository()
        (self.package / "commit.txt").write_text("5e5866a-dirty\n")
        self.assertEqual(find_commit(self.package), "5e5866a-dirty")

    def test_a_file_that_names_no_commit(self) -> None:
        for text in ("", "main\n", "5e5866a\nsecond line\n", "5e5866a (hm)", "\N{SNOWMAN}"):
            (self.package / "commit.txt").write_text(text, "utf-8")
            self.assertIsNone(find_commit(self.package), text)

    def test_a_checkout(self) -> None:
        self.assertEqual(find_commit(self.package), None)
        self.assertEqual(self.make_repository(), find_commit(self.package))

    def test_a_checkout_that_was_changed(self) -> None:
        commit = self.make_repository()
        (self.package / "module.py").write_text("two = 2\n")
        self.assertEqual(find_commit(self.package), f"{commit}-dirty")

    def test_a_checkout_without_commits(self) -> None:
        self.git("init", "--quiet")
        self.assertIsNone(find_commit(self.package))

    def test_a_repository_further_up_is_another_projects(self) -> None:
        self.make_repository()
        inner = self.checkout / "lib" / "site-packages" / "package"
        inner.mkdir(parents=True)
        self.assertIsNone(find_commit(inner))

    def test_a_hook_of_another_repository(self) -> None:
        commit = self.make_repository()
        self.patch(os, "environ", os.environ | {"GIT_DIR": str(self.checkout / "other")})
        self.assertEqual(find_commit(self.package), commit)

    def test_without_git(self) -> None:
        self.make_repository()
        self.patch(os, "environ", os.environ | {"PATH": str(self.checkout)})
        self.assertIsNone(find_commit(self.package))


class ReleaseTest(SynchronousTestCase):
    def test_with_a_commit(self) -> None:
        self.patch(version, "commit", lambda: "5e5866a")
        self.assertEqual(version.release(), f"{__version__} (5e5866a)")

    def test_without(self) -> None:
        self.patch(version, "commit", lambda: None)
        self.assertEqual(version.release(), __version__)


class FindReleaseTest(SynchronousTestCase):
    def find(self, text: str | None) -> str | None:
        folder = Path(self.mktemp())
        folder.mkdir()
        if text is not None:
            (folder / "release.txt").write_text(text, "utf-8")
        return version.find_release(folder)

    def test_what_deploy_has_written(self) -> None:
        name = "20261126T140312512345Z-0.2.0-5e5866a-dirty"
        self.assertEqual(self.find(f"{name}\n"), name)

    def test_anything_else(self) -> None:
        for text in (None, "", "two words", "é", "x" * 300, "<b>"):
            self.assertIsNone(self.find(text), text)

    def test_a_checkout_is_no_release(self) -> None:
        self.assertIsNone(version.deployed_as())
