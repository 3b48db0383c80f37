"""The Ed25519 key of a session's secret, and what is signed with it: the calculations of `tokens`,
which imports this when there is a first secret."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_PURPOSE = b"apptuner session secret"
_SEED_BYTES = 32


def public_key(secret: str, session_hash: str) -> bytes:
    """The 32 bytes of the public key."""
    return _key(secret, session_hash).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def sign(secret: str, session_hash: str, text: bytes) -> bytes:
    """The signature of ``text``: 64 bytes."""
    return _key(secret, session_hash).sign(text)


def is_signed(public: bytes, signature: bytes, text: bytes) -> bool:
    """Whether the signature of ``text`` is by the key of which ``public`` is the public one.

    :raises ValueError: ``public`` is no key.
    """
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, text)
    except InvalidSignature:
        return False
    return True


def _key(secret: str, session_hash: str) -> Ed25519PrivateKey:
    derive = HKDF(SHA256(), _SEED_BYTES, salt=session_hash.encode(), info=_PURPOSE)
    return Ed25519PrivateKey.from_private_bytes(derive.derive(secret.encode()))
