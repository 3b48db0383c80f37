"""What the companion program and the relay both know is the same; neither imports the other."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay import session
from apptuner_relay.client import address, bundles
from apptuner_relay.options import Settings


class Agreement(SynchronousTestCase):
    def test_limits(self) -> None:
        self.assertEqual(bundles.MAX_MESSAGE_BYTES, Settings().max_message)
        self.assertEqual(address.MAX_NAME_CHARACTERS, session.NAME_CHARACTERS)

    def test_session_ids(self) -> None:
        for text in ("ABC234", "a-b_C", "A" * 64):
            self.assertEqual(address.session_id(text), session.check_session_id(text))
        for text in ("", "a b", "A" * 65, "é", "a/b", "a\n"):
            self.assertRaises(ValueError, address.session_id, text)
            self.assertRaises(session.BadRequest, session.check_session_id, text)

    def test_device_ids(self) -> None:
        for text in ("join-1a2b3c4d", "a.b:c_d-e", "D" * 64):
            self.assertEqual(address.device_id(text), text)
            self.assertEqual(session.parse_device(f"deviceId={text}", "x", 0).device_id, text)
        for text in ("a b", "D" * 65, "a/b"):
            self.assertRaises(ValueError, address.device_id, text)
            self.assertRaises(session.BadRequest, session.parse_device, f"deviceId={text}", "x", 0)
