"""What a relay shows another one to be let in with a client: a signed pass. Pure.

A pass is one header, ``base64url(JSON).hex(HMAC-SHA256)``. It names the node that it is for, the
time and a nonce, so it lets in one connection to one node, within `LIFETIME_S`. The node that it is
for proves that it knows the secret as well before it is sent anything.
"""

import base64
import dataclasses
import hashlib
import hmac
import json
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from apptuner_relay.clocks import in_ms
from apptuner_relay.cluster.directory import check_node, check_session
from apptuner_relay.session import Admission, Arrival, Device, Role

PASS_HEADER = "AppTuner-Pass"
PROOF_HEADER = "AppTuner-Proof"
REASON_HEADER = "AppTuner-Reason"
"""Why a handshake was refused, as a JSON string."""
_OTHERS = {
    *("from", "to", "nonce", "session", "url", "deflates", "client", "since", "address"),
    *("authorized", "claims", "tokens"),
}
"""Claims that anything may stand in."""
LIFETIME_S = 30.0
"""How far the clocks of two nodes may be apart."""

_MOST_BYTES = 4096
_MOST_SEEN = 100_000
"""How many nonces are remembered: some 20 MB, when the clock was put back far."""


class BadPass(ValueError):
    """A pass that lets nobody in. The text is for the log and the other node, and says nothing of
    what it should have been."""


@dataclass(frozen=True)
class Pass:
    """What a node says of the client with which it wants to come in."""

    sender: str
    """The node that the client is connected to."""
    to: str
    """The node that is to let it in."""
    admission: Admission
    nonce: str


def write_pass(
    secret: str, sender: str, to: str, admission: Admission, wall_s: float
) -> tuple[str, str]:
    """A pass for one connection, and the proof that is to be expected for it."""
    nonce = secrets.token_hex(16)
    device = admission.device
    claims = {
        "from": sender,
        "to": to,
        "at": wall_s,
        "nonce": nonce,
        "role": admission.role.value,
        "session": admission.session_hash,
        "device": None if device is None else dataclasses.asdict(device),
        "url": admission.bundles_url,
        "deflates": admission.deflates,
        "arrival": admission.arrival.value,
        "client": admission.client,
        "since": admission.since_ms,
        "address": admission.address,
        "authorized": admission.authorized,
        "claims": admission.claims,
        "tokens": admission.tokens,
        # How long ago: the nodes' clocks differ.
        "lost": in_ms(wall_s) - admission.lost_ms if admission.lost_ms else None,
        "proof": admission.proof,
    }
    return _seal(secret, "pass", claims), prove(secret, nonce)


def write_errand(secret: str, sender: str, to: str, path: str, wall_s: float) -> tuple[str, str]:
    """A pass for one HTTP request to another node on behalf of a client, and the proof that is to
    be expected for it. It says as well that the request goes no further."""
    nonce = secrets.token_hex(16)
    claims = {"from": sender, "to": to, "at": wall_s, "nonce": nonce, "path": path}
    return _seal(secret, "errand", claims), prove(secret, nonce)


def _seal(secret: str, purpose: str, claims: dict[str, object]) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims, separators=(",", ":")).encode())
    return f"{body.decode()}.{_sign(secret, purpose, body)}"


class Gate:
    """Reads passes, each once.

    :param node: this node's id.
    """

    def __init__(self, secret: str, node: str) -> None:
        self._secret = secret
        self._node = node
        self._seen: OrderedDict[str, float] = OrderedDict()

    def read(self, text: str, wall_s: float) -> Pass:
        """Read a pass, which is no good from then on.

        :raises BadPass: it isn't good now.
        """
        claims = self._open("pass", text, _parse, wall_s)
        device = claims["device"]
        # A relay of an earlier version doesn't say.
        lost = claims.get("lost")
        admission = Admission(
            Role(claims["role"]),
            check_session(claims["session"]),
            None if device is None else Device(**device),
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
        )
        return Pass(claims["from"], claims["to"], admission, claims["nonce"])

    def read_errand(self, text: str, path: str, wall_s: float) -> str:
        """Read the pass of a request for ``path``, which is no good from then on.

        :return: its nonce.
        :raises BadPass: it isn't good now.
        """
        claims = self._open("errand", text, _parse_errand, wall_s)
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
        # By the wall clock, as passes are: put back, it would make good again what was forgotten.
        while seen and (
            wall_s - next(iter(seen.values())) > 2 * LIFETIME_S or len(seen) >= _MOST_SEEN
        ):
            seen.popitem(last=False)
        if nonce in seen:
            raise BadPass("it has been used")
        seen[nonce] = wall_s


def prove(secret: str, nonce: str) -> str:
    """How the node that a pass is for shows that it knows the secret."""
    return _sign(secret, "proof", nonce.encode())


def _sign(secret: str, purpose: str, data: bytes) -> str:
    return hmac.new(secret.encode(), purpose.encode() + b"\n" + data, hashlib.sha256).hexdigest()


def _parse(body: str) -> dict[str, Any]:
    """The claims, which are signed, and so what `write_pass` of some version has written.

    :raises BadPass: that was another version.
    """
    try:
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body))
        Role(claims["role"]), Arrival(claims["arrival"]), float(claims["at"])
        float(claims.get("lost") or 0)
        if claims["device"] is not None:
            Device(**claims["device"])
        missing = _OTHERS - set(claims)
    except (ValueError, TypeError, KeyError):
        missing = {"it"}
    if missing:
        raise BadPass("it was written by a relay of another version")
    return claims


def _parse_errand(body: str) -> dict[str, Any]:
    """Likewise, of `write_errand`."""
    try:
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body))
        float(claims["at"]), claims["to"], claims["nonce"], claims["path"]
    except (ValueError, TypeError, KeyError):
        raise BadPass("it was written by a relay of another version") from None
    return claims
