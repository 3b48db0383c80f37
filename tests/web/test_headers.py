"""`apptuner_relay.web.headers`: header fields as text, whatever bytes they are."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from apptuner_relay.web.headers import header


class HeaderTest(SynchronousTestCase):
    def test_none(self) -> None:
        self.assertIsNone(header(DummyRequest([]), "origin"))

    @given(st.binary())
    def test_any_bytes(self, value: bytes) -> None:
        request = DummyRequest([])
        request.getHeader = lambda name: value
        found = header(request, "origin")
        assert found is not None
        self.assertEqual(found.encode("latin-1"), value)
