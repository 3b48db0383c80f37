"""What servers say when they refuse, in the words of Redis 5 to 7."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.ownership.redis_errors import PASSING, code_of, is_passing

RUNNING = "ERR Error running script (call to f_0123456789abcdef0123456789abcdef01234567): "
AT = "@user_script:6: @user_script: 6: "


class Codes(SynchronousTestCase):
    def test_of_a_command(self) -> None:
        for text, code in (
            ("READONLY You can't write against a read only replica.", "READONLY"),
            ("OOM command not allowed when used memory > 'maxmemory'. script: 0a", "OOM"),
            ("LOADING Redis is loading the dataset in memory", "LOADING"),
            ("CLUSTERDOWN The cluster is down", "CLUSTERDOWN"),
            ("WRONGPASS invalid username-password pair or user is disabled.", "WRONGPASS"),
            ("ERR unknown command 'EVAL'", "ERR"),
            ("something else", "ERR"),
            ("", "ERR"),
        ):
            self.assertEqual(code_of(text), code, text)

    def test_of_a_command_that_a_script_has_called(self) -> None:
        """Up to Redis 6 the script's own error goes before it."""
        for text, code in (
            ("-READONLY You can't write against a read only slave.", "READONLY"),
            ("-OOM command not allowed when used memory > 'maxmemory'.", "OOM"),
            ("-MISCONF Redis is configured to save RDB snapshots, but it is cu", "MISCONF"),
            ("-NOREPLICAS Not enough good slaves to write.", "NOREPLICAS"),
            ("-NOPERM this user has no permissions to run the 'set' command", "NOPERM"),
            ("Script attempted to access a non local key in a cluster node", "ERR"),
        ):
            self.assertEqual(code_of(RUNNING + AT + text), code, text)

    def test_of_a_command_that_the_user_may_not_run(self) -> None:
        text = "ERR ACL failure in script: User r has no permissions to run the 'set' command"
        self.assertEqual(code_of(text), "NOPERM")

    @given(st.sampled_from(sorted(PASSING)), st.booleans(), st.text(alphabet="abc -'.", max_size=9))
    def test_what_may_pass(self, code: str, is_wrapped: bool, rest: str) -> None:
        text = f"{RUNNING}{AT}-{code} {rest}" if is_wrapped else f"{code} {rest}"
        self.assertTrue(is_passing(text))

    @given(st.text())
    def test_anything_at_all(self, text: str) -> None:
        self.assertRegex(code_of(text), r"^[A-Z][A-Z0-9]*$")
