"""The signatures of the Pusher protocol, of subscriptions and of requests to the HTTP API: HMACs of
SHA-256 with an application's secret. Pure.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from apptuner_relay.managed.protocol.channel_names import is_channel_name

_SOCKET_ID = re.compile(r"[0-9]{1,20}\.[0-9]{1,20}")

_OWN_PURPOSE = b"apptuner secret of the relay's own channels"
_OWN_SECRET_BYTES = 32


def is_socket_id(text: str) -> bool:
    """Whether that can be the id that a service gives to a connection."""
    return _SOCKET_ID.fullmatch(text) is not None


def own_secret(cluster_secret: str | None) -> str:
    """The secret of an application whose service the relay itself is, where the operator gives
    none: the same on all relays with one ``--cluster-secret``, else made up."""
    if cluster_secret is None:
        return secrets.token_hex(_OWN_SECRET_BYTES)
    return hmac.new(cluster_secret.encode(), _OWN_PURPOSE, hashlib.sha256).hexdigest()


class Signer:
    """Signs and verifies for one application. The ``repr`` shows no secret.

    :param key: the application's key, which is public.
    """

    def __init__(self, key: str, secret: str) -> None:
        self.key = key
        self._secret = secret.encode()

    def sign_channel(self, socket_id: str, channel: str, channel_data: str | None = None) -> str:
        """The ``auth`` of a subscription: ``KEY:HEX``. It is good for that connection only.

        :param channel_data: of a presence channel: exactly the text that the client will send.
        :raises ValueError: ``socket_id`` or ``channel`` is none, or ``channel_data`` is not
            Unicode. The parts of what is signed are joined by colons, so that one with a colon in
            it would be a signature of something else.
        """
        if not is_socket_id(socket_id):
            raise ValueError("a socket_id is two numbers with a dot between them")
        if not is_channel_name(channel):
            raise ValueError("that is no name of a channel")
        parts = [socket_id, channel] if channel_data is None else [socket_id, channel, channel_data]
        return f"{self.key}:{self._sign(':'.join(parts))}"

    def verify_channel(
        self, auth: str, socket_id: str, channel: str, channel_data: str | None = None
    ) -> bool:
        """Whether ``auth`` is what `sign_channel` gives. Takes the same time for any that isn't."""
        try:
            expected = self.sign_channel(socket_id, channel, channel_data)
            return hmac.compare_digest(auth.encode(), expected.encode())
        except ValueError:
            return False

    def sign_request(
        self, method: str, path: str, params: Mapping[str, str], body: bytes, now_s: float
    ) -> str:
        """The query string of a request to the HTTP API, percent-encoded.

        :param path: as the service receives it, a prefix of its own included.
        :param params: further parameters, not encoded.
        :param now_s: seconds since the epoch. Services accept 600 s either way.
        """
        query = {
            **params,
            "auth_key": self.key,
            "auth_timestamp": str(int(now_s)),
            "auth_version": "1.0",
        }
        if body:
            query["body_md5"] = hashlib.md5(body, usedforsecurity=False).hexdigest()
        in_order = sorted((name.lower(), value) for name, value in query.items())
        # What is signed is not percent-encoded.
        signed = "&".join(f"{name}={value}" for name, value in in_order)
        signature = self._sign("\n".join((method.upper(), path, signed)))
        return urlencode([*in_order, ("auth_signature", signature)], quote_via=quote)

    def _sign(self, text: str) -> str:
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()
