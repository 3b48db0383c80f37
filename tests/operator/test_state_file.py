"""`apptuner_relay.operator.state_file`: real directories, and those that can't be had."""

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.state_file import (
    StateDirectory,
    StateError,
    default_directory,
    find_directory,
)


class WhereTest(SynchronousTestCase):
    def test_default(self) -> None:
        for environment, path in [
            ({"HOME": "/home/a"}, "/home/a/.local/state/apptuner-relay"),
            ({"HOME": "/home/a", "XDG_STATE_HOME": "/s"}, "/s/apptuner-relay"),
            (
                {"HOME": "/home/a", "XDG_STATE_HOME": "not/absolute"},
                "/home/a/.local/state/apptuner-relay",
            ),
            ({"STATE_DIRECTORY": "/var/lib/r:/var/lib/q", "HOME": "/h"}, "/var/lib/r"),
        ]:
            self.assertEqual(default_directory(environment), Path(path))

    def test_setting(self) -> None:
        environment = {"HOME": "/home/a"}
        self.assertIsNone(find_directory("off", environment))
        self.assertEqual(find_directory("/x", environment), Path("/x"))
        self.assertEqual(find_directory("auto", environment), default_directory(environment))


class DirectoryTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()).resolve() / "deep" / "down"

    def open(self) -> StateDirectory:
        directory = StateDirectory(self.path)
        self.addCleanup(directory.close)
        return directory

    def test_what_is_written_is_read(self) -> None:
        directory = self.open()
        self.assertEqual(directory.read(), {})
        directory.write({"days": {}, "n": 1})
        directory.write({"days": {}, "n": 2})
        self.assertEqual(directory.read(), {"days": {}, "n": 2})
        self.assertEqual(sorted(os.listdir(self.path)), ["days.json", "lock"])
        self.assertEqual((self.path / "days.json").stat().st_mode & 0o777, 0o600)
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o700)

    def test_a_second_relay_is_refused(self) -> None:
        first = StateDirectory(self.path)
        with self.assertRaises(StateError) as caught:
            StateDirectory(self.path)
        self.assertIn("another relay", str(caught.exception))
        self.assertIn(str(self.path), str(caught.exception))
        first.close()
        self.open()

    def test_a_file_that_is_none_of_ours_is_kept(self) -> None:
        directory = self.open()
        for content in (b'{"days": {', b"[1, 2]", b"\xff", b"", b"[" * 100_000):
            (self.path / "days.json").write_bytes(content)
            with self.assertRaises(StateError) as caught:
                directory.read()
            self.assertIn("days.json.bad", str(caught.exception))
            self.assertEqual((self.path / "days.json.bad").read_bytes(), content)
            self.assertEqual(directory.read(), {})

    def test_a_place_where_nothing_can_be(self) -> None:
        self.path.parent.mkdir(parents=True)
        self.path.write_text("a file")
        with self.assertRaises(StateError) as caught:
            StateDirectory(self.path)
        self.assertIn(str(self.path), str(caught.exception))

    def test_a_write_that_fails_leaves_the_old_file(self) -> None:
        directory = self.open()
        directory.write({"n": 1})
        (self.path / "days.json.new").mkdir()
        self.assertRaises(StateError, directory.write, {"n": 2})
        self.assertEqual(directory.read(), {"n": 1})
