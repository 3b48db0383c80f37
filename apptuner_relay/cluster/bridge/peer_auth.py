"""Passes: how relays authenticate to each other. Pure.

A pass is a header, ``base64url(JSON).hex(HMAC-SHA256)``. It holds the node that it is for, the time
and a nonce, so it is good for one connection to one node, within `LIFETIME_S`. That node proves
that it knows the secret as well, before it is sent anything.
"""

import base64
import hashlib
import hmac
import json
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from apptuner_relay.cluster.ownership.directory import check_session
from apptuner_relay.config.node_names import check_node
from apptuner_relay.session.session import Admission, Arrival, Device, Role, read_agent
from apptuner_relay.support.clocks import in_ms

PASS_HEADER = "AppTuner-Pass"
PROOF_HEADER = "AppTuner-Proof"
REASON_HEADER = "AppTuner-Reason"
"""Why a handshake was refused, as a JSON string."""
FEATURES_HEADER = "AppTuner-Features"
"""What the node that was connected to can do and earlier versions can't: words, as in ``Vary``."""
PATCHES = "patches"
"""The word for: it checks the patches that CLIs send, and sends phones patches."""
MASKS = "masks"
"""The word for: it unmasks and checks small messages of clients, which pass as they came."""
FEATURES = frozenset({PATCHES, MASKS})
_OTHERS = {
    *("from", "to", "nonce", "session", "url", "deflates", "client", "since", "address"),
    *("authorized", "claims", "tokens"),
}
"""The claims of a pass whose values need no check of their own."""
LIFETIME_S = 30.0
"""How far apart the clocks of two nodes may be."""

_MOST_BYTES = 4096
_MOST_SEEN = 100_000
"""The most nonces that are remembered: some 20 MB, when the clock was set back far."""


class BadPass(ValueError):
    """A pass is not good. The text is for the log and the other node, and doesn't say what a good
    one would have been."""


@dataclass(frozen=True)
class Pass:
    """A node's request to connect for one of its clients."""

    sender: str
    """The node that the client is connected to."""
    to: str
    """The node that it is for."""
    admission: Admission
    nonce: str


def write_pass(
    secret: str, sender: str, to: str, admission: Admission, wall_s: float
) -> tuple[str, str]:
    """A pass for one connection, and the proof that the other node has to give."""
    nonce = secrets.token_hex(16)
    claims = _claims(sender, to, admission, nonce, wall_s)
    return _seal(secret, "pass", claims), prove(secret, nonce)


def write_authorization_pass(
    secret: str, sender: str, to: str, admission: Admission, socket_id: str, wall_s: float
) -> tuple[str, str]:
    """A pass for one request to let a client into a channel, and the proof that the other node has
    to give.

    :param socket_id: the client's connection at a managed service.
    """
    nonce = secrets.token_hex(16)
    claims = _claims(sender, to, admission, nonce, wall_s) | {"socket": socket_id}
    return _seal(secret, "authorization", claims), prove(secret, nonce)


def write_request_pass(
    secret: str, sender: str, to: str, path: str, wall_s: float
) -> tuple[str, str]:
    """A pass for one HTTP request to another node on behalf of a client, and the proof that the
    other node has to give. A request with such a pass is not forwarded again."""
    nonce = secrets.token_hex(16)
    claims = {"from": sender, "to": to, "at": wall_s, "nonce": nonce, "path": path}
    # Relays of other versions know such a pass by this word.
    return _seal(secret, "errand", claims), prove(secret, nonce)


def _claims(
    sender: str, to: str, admission: Admission, nonce: str, wall_s: float
) -> dict[str, object]:
    device = admission.device
    return {
        "from": sender,
        "to": to,
        "at": wall_s,
        "nonce": nonce,
        "role": admission.role.value,
        "session": admission.session_hash,
        "device": None if device is None else device.to_dict(),
        "url": admission.bundles_url,
        "deflates": admission.deflates,
        "arrival": admission.arrival.value,
        "client": admission.client,
        "since": admission.since_ms,
        "address": admission.address,
        "authorized": admission.authorized,
        "claims": admission.claims,
        "tokens": admission.tokens,
        # How long ago it was, as the nodes' clocks differ.
        "lost": in_ms(wall_s) - admission.lost_ms if admission.lost_ms else None,
        "proof": admission.proof,
        "channel_user": admission.channel_user,
        "patches": admission.patches or (device is not None and device.patch),
        "agent": admission.agent,
        "acks": admission.acks,
    }


def _seal(secret: str, purpose: str, claims: dict[str, object]) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims, separators=(",", ":")).encode())
    return f"{body.decode()}.{_sign(secret, purpose, body)}"


class PassVerifier:
    """Verifies passes, each of them once.

    :param node: this node's id.
    """

    def __init__(self, secret: str, node: str) -> None:
        self._secret = secret
        self._node = node
        self._seen: OrderedDict[str, float] = OrderedDict()

    def read(self, text: str, wall_s: float) -> Pass:
        """Verify the pass of a connection. It is not good any more afterwards.

        :raises BadPass: it isn't good.
        """
        claims = self._open("pass", text, _parse, wall_s)
        return Pass(claims["from"], claims["to"], _admission(claims, wall_s), claims["nonce"])

    def read_authorization(self, text: str, wall_s: float) -> tuple[Admission, str, str]:
        """Verify the pass of a request to let a client into a channel. It is not good any more
        afterwards.

        :return: the client, its ``socket_id``, and the pass's nonce.
        :raises BadPass: it isn't good.
        """
        claims = self._open("authorization", text, _parse, wall_s)
        return _admission(claims, wall_s), str(claims.get("socket")), str(claims["nonce"])

    def read_request_pass(self, text: str, path: str, wall_s: float) -> str:
        """Verify the pass of a request for ``path``. It is not good any more afterwards.

        :return: its nonce.
        :raises BadPass: it isn't good.
        """
        claims = self._open("errand", text, _parse_request_pass, wall_s)
        if claims["path"] != path:
            raise BadPass("it is for another path")
        return str(claims["nonce"])

    def _open(
        self, purpose: str, text: str, parse: Callable[[str], dict[str, Any]], wall_s: float
    ) -> dict[str, Any]:
        body, _, signature = text.partition(".")
        if len(text) > _MOST_BYTES or not text.isascii():
            raise BadPass("it can't be read")
        if not hmac.compare_digest(_sign(self._secret, purpose, body.encode()), signature):
            raise BadPass("it is not signed with this cluster's secret")
        claims = parse(body)
        if claims["to"] != self._node:
            raise BadPass("it is for another node")
        if not abs(wall_s - claims["at"]) <= LIFETIME_S:
            raise BadPass("it is too old, or the nodes' clocks are too far apart")
        self._remember(claims["nonce"], wall_s)
        return claims

    def _remember(self, nonce: str, wall_s: float) -> None:
        seen = self._seen
        # By the wall clock, as in passes: set back, it makes passes good again that were forgotten.
        while seen and (
            wall_s - next(iter(seen.values())) > 2 * LIFETIME_S or len(seen) >= _MOST_SEEN
        ):
            seen.popitem(last=False)
        if nonce in seen:
            raise BadPass("it has been used")
        seen[nonce] = wall_s


def prove(secret: str, nonce: str) -> str:
    """The proof by the node that a pass is for, that it knows the secret."""
    return _sign(secret, "proof", nonce.encode())


def _sign(secret: str, purpose: str, data: bytes) -> str:
    return hmac.new(secret.encode(), purpose.encode() + b"\n" + data, hashlib.sha256).hexdigest()


def _admission(claims: dict[str, Any], wall_s: float) -> Admission:
    """The client that a pass is for."""
    device = claims["device"]
    # Relays of earlier versions don't say.
    lost, patches = claims.get("lost"), bool(claims.get("patches"))
    return Admission(
        Role(claims["role"]),
        check_session(claims["session"]),
        None if device is None else Device.read(device, patches),
        claims["url"],
        claims["deflates"],
        Arrival(claims["arrival"]),
        check_node(claims["from"]),
        claims["client"],
        claims["since"],
        claims["address"],
        claims["authorized"],
        claims["claims"],
        claims["tokens"],
        0 if lost is None else in_ms(wall_s) - lost,
        str(claims.get("proof", "")),
        str(claims.get("channel_user", "")),
        patches and device is None,
        read_agent("", claims.get("agent")),
        bool(claims.get("acks")),
    )


def _parse(body: str) -> dict[str, Any]:
    """The claims of a pass. They are signed, so some version of `write_pass` has written them.

    :raises BadPass: that version was another one.
    """
    try:
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body))
        Role(claims["role"]), Arrival(claims["arrival"]), float(claims["at"])
        float(claims.get("lost") or 0)
        if claims["device"] is not None:
            Device.read(claims["device"])
        missing = _OTHERS - set(claims)
    except (ValueError, TypeError, KeyError):
        missing = {"it"}
    if missing:
        raise BadPass("it was written by a relay of another version")
    return claims


def _parse_request_pass(body: str) -> dict[str, Any]:
    """Likewise, for `write_request_pass`."""
    try:
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body))
        float(claims["at"]), claims["to"], claims["nonce"], claims["path"]
    except (ValueError, TypeError, KeyError):
        raise BadPass("it was written by a relay of another version") from None
    return claims
