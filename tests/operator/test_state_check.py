"""`apptuner_relay.operator.state_check`. As another user: `tests.live.test_state_dir`."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.state_check import NoClaimsFile, check_state_directory
from apptuner_relay.operator.state_file import StateDirectory, StateError


class StateCheckTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.here = Path(self.mktemp()).resolve()

    def test_what_was_not_given_is_not_checked(self) -> None:
        for setting in ("auto", "off"):
            check_state_directory(setting, {}, waits=False)

    def test_one_that_can_be_used_stays_free(self) -> None:
        check_state_directory(str(self.here), {}, waits=False)
        StateDirectory(self.here).close()

    def test_one_that_another_relay_has(self) -> None:
        held = StateDirectory(self.here)
        self.addCleanup(held.close)
        with self.assertRaises(StateError) as caught:
            check_state_directory(str(self.here), {}, waits=False)
        self.assertIn("another relay has it", str(caught.exception))
        check_state_directory(str(self.here), {}, waits=True)

    def test_one_that_can_not_be_used(self) -> None:
        self.here.write_text("a file")
        for waits in (False, True):
            with self.assertRaises(StateError):
                check_state_directory(str(self.here), {}, waits)
        # Within another root it may be there.
        check_state_directory(str(self.here), {"chroot": "/srv"}, waits=False)

    def test_a_user_without_a_home(self) -> None:
        self.assertIn("--state-dir", NoClaimsFile().trouble or "")
