"""`apptuner_relay.support.socket_errors`: why a connection failed, in words."""

from __future__ import annotations

from OpenSSL import SSL
from service_identity import VerificationError
from twisted.internet.error import ConnectError, ConnectionLost, getConnectError
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.support.socket_errors import describe, is_untrusted


class FailuresTests(SynchronousTestCase):
    def test_errors_in_words(self) -> None:
        tls = SSL.Error([("SSL routines", "", "certificate verify failed")])
        self.assertTrue(is_untrusted(tls))
        self.assertEqual(describe(tls), "certificate verify failed")
        self.assertFalse(is_untrusted(SSL.Error([("SSL routines", "", "wrong version number")])))
        self.assertEqual(describe(SSL.Error()), "TLS failed")
        self.assertTrue(is_untrusted(VerificationError(errors=[])))
        self.assertEqual(describe(VerificationError(errors=[])), "it is for another host")
        self.assertEqual(describe(OSError("no route.")), "no route")
        self.assertEqual(describe(KeyError()), "KeyError")

    def test_what_the_system_says(self) -> None:
        for number, words in ((111, "Connection refused"), (113, "No route to host")):
            error = getConnectError((number, words))  # type: ignore[no-untyped-call]
            self.assertEqual(describe(error), words)

    def test_a_connection_that_is_lost_before_it_is_made(self) -> None:
        # As twisted.internet.tcp.BaseClient.connectionLost has it.
        for lost, words in ((ConnectionLost(), ""), (ConnectionRefusedError("no"), "no")):
            error = ConnectError(string=Failure(lost))  # type: ignore[no-untyped-call]
            self.assertEqual(describe(error), words)
        self.assertEqual(
            describe(ConnectError(string="no way")),  # type: ignore[no-untyped-call]
            "An error occurred while connecting: no way",
        )
