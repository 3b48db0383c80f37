"""`apptuner_relay.support.socket_errors`: why a connection failed, in words."""

from __future__ import annotations

from OpenSSL import SSL
from service_identity import VerificationError
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
