"""`managed.protocol.signatures`: the signatures that services publish as examples."""

import hashlib
import hmac
from urllib.parse import parse_qsl

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.managed.protocol.signatures import Signer, is_socket_id, own_secret

KEY = "278d425bdf160c739803"
SECRET = "7ad3773142a6692b25b8"
SOCKET = "1234.1234"


def independent(text: str) -> str:
    """The signature as another library makes it."""
    one = HMAC(SECRET.encode(), hashes.SHA256())
    one.update(text.encode())
    return one.finalize().hex()


class Channels(SynchronousTestCase):
    def setUp(self) -> None:
        self.signer = Signer(KEY, SECRET)

    def test_the_published_example_of_a_private_channel(self) -> None:
        self.assertEqual(
            self.signer.sign_channel(SOCKET, "private-foobar"),
            f"{KEY}:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4",
        )

    def test_a_presence_channel(self) -> None:
        data = '{"user_id":10,"user_info":{"name":"Mr. Channels"}}'
        auth = self.signer.sign_channel(SOCKET, "presence-foobar", data)
        expected = independent(f"{SOCKET}:presence-foobar:{data}")
        self.assertEqual(auth, f"{KEY}:{expected}")
        self.assertTrue(expected.startswith("31935e7d"))

    def test_what_was_signed_is_verified(self) -> None:
        auth = self.signer.sign_channel(SOCKET, "presence-a", "{}")
        self.assertTrue(self.signer.verify_channel(auth, SOCKET, "presence-a", "{}"))
        for other in (
            (auth, "1234.1235", "presence-a", "{}"),
            (auth, SOCKET, "presence-b", "{}"),
            (auth, SOCKET, "presence-a", "{ }"),
            (auth, SOCKET, "presence-a", None),
            (auth[:-1], SOCKET, "presence-a", "{}"),
            (f"x{auth}", SOCKET, "presence-a", "{}"),
            (auth.upper(), SOCKET, "presence-a", "{}"),
            ("", SOCKET, "presence-a", "{}"),
            ("ключ", SOCKET, "presence-a", "{}"),
            ("\ud800", SOCKET, "presence-a", "{}"),
            (auth, SOCKET, "presence-a", "\ud800"),
        ):
            self.assertFalse(self.signer.verify_channel(*other), other)
        self.assertFalse(Signer(KEY, "else").verify_channel(auth, SOCKET, "presence-a", "{}"))

    def test_nothing_else_is_signed_in_the_name_of_a_channel(self) -> None:
        # Services sign a user by ``SOCKET::user::DATA``.
        for socket_id, channel in (
            (f"{SOCKET}:", "user"),
            (SOCKET, ":user::{}"),
            (SOCKET, "presence-a:{}"),
            (SOCKET, ""),
            ("", "presence-a"),
            ("1.", "presence-a"),
            ("1.2\n", "presence-a"),
            ("1" * 30 + ".1", "presence-a"),
        ):
            with self.assertRaises(ValueError):
                self.signer.sign_channel(socket_id, channel)

    @given(st.text(max_size=20), st.text(max_size=30), st.none() | st.text(max_size=30))
    def test_hostile_input_is_never_verified(
        self, socket_id: str, channel: str, data: str | None
    ) -> None:
        self.assertFalse(Signer(KEY, SECRET).verify_channel("k:1", socket_id, channel, data))

    def test_the_secret_is_not_shown(self) -> None:
        self.assertNotIn(SECRET, repr(self.signer))


class OwnSecrets(SynchronousTestCase):
    def test_relays_that_share_sessions_have_the_same(self) -> None:
        one = own_secret("correct-horse")
        self.assertEqual(own_secret("correct-horse"), one)
        self.assertNotEqual(own_secret("battery-staple"), one)
        self.assertNotIn("correct-horse", one)

    def test_a_relay_that_is_alone_makes_one_up(self) -> None:
        self.assertNotEqual(own_secret(None), own_secret(None))
        self.assertEqual(len(own_secret(None)), 64)


class SocketIds(SynchronousTestCase):
    def test_two_numbers_with_a_dot_between_them(self) -> None:
        for text in (SOCKET, "224171711.3342971749", "0.0"):
            self.assertTrue(is_socket_id(text))
        for text in ("", "1", "1.2.3", "a.b", "-1.2", "1.2 ", "١.٢", "1:2"):
            self.assertFalse(is_socket_id(text))


class Requests(SynchronousTestCase):
    def test_the_published_example(self) -> None:
        body = b'{"name":"foo","channels":["project-3"],"data":"{\\"some\\":\\"data\\"}"}'
        query = Signer(KEY, SECRET).sign_request("POST", "/apps/3/events", {}, body, 1353088179.9)
        self.assertEqual(
            query,
            f"auth_key={KEY}&auth_timestamp=1353088179&auth_version=1.0"
            "&body_md5=ec365a775a4cd0599faeb73354201b6f&auth_signature="
            "da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c",
        )

    def test_parameters_are_signed_as_they_are_and_sent_encoded(self) -> None:
        params = {"info": "user_count,a b", "Filter_By_Prefix": "presence-a=b."}
        query = Signer(KEY, SECRET).sign_request("get", "/p/apps/3/channels", params, b"", 5)
        self.assertIn("filter_by_prefix=presence-a%3Db.&info=user_count%2Ca%20b&", query)
        *fields, (name, signature) = parse_qsl(query, strict_parsing=True)
        self.assertEqual(name, "auth_signature")
        self.assertNotIn("body_md5", dict(fields))
        signed = "&".join(f"{key}={value}" for key, value in sorted(fields))
        text = f"GET\n/p/apps/3/channels\n{signed}".encode()
        self.assertEqual(signature, hmac.new(SECRET.encode(), text, hashlib.sha256).hexdigest())
