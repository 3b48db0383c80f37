"""What the page of one session shows, as JSON: its clients, the bundle that is kept, and what has
become of the last bundles. It is for those who know the session's id.
"""

from apptuner_relay.access.claims import Claim
from apptuner_relay.operator.session_rows import client_row
from apptuner_relay.relay.service import RelayService
from apptuner_relay.session.session import Role
from apptuner_relay.support.clocks import in_ms


def is_known(relay: RelayService, key: str) -> bool:
    """Whether this relay knows the session whose hash is ``key``: it has clients of it, a bundle,
    or a record of one."""
    if key in relay.sessions or (relay.store is not None and relay.store.keeps(key)):
        return True
    return bool(relay.meters.bundles.recent(key))


def session_state(relay: RelayService, key: str, claim: Claim | None) -> dict[str, object]:
    """The state of the session whose hash is ``key``.

    :param claim: its claim, where it has one.
    """
    session = relay.sessions.get(key)
    meters = relay.meters
    members = () if session is None else session.members
    return {
        "session": key[:8],
        "node": meters.node,
        "now_ms": in_ms(relay.wall_s()),
        "since_ms": None if session is None else meters.wall_ms(session.since_s),
        "claimed": claim is not None,
        "tokens": claim is not None and claim.tokens,
        "clients": [
            client_row(meters, one) for role in Role for one in members if one.role is role
        ],
        "kept": _kept(relay, key),
        "caches": relay.store is not None and relay.store.off is None,
        "bundles": [_without_address(row) for row in meters.bundles.rows(key)],
    }


def _without_address(row: dict[str, object]) -> dict[str, object]:
    """A bundle's row as it may be shown to whoever knows the session."""
    sender = row["sender"]
    assert isinstance(sender, dict)
    return row | {"sender": sender | {"address": None}}


def _kept(relay: RelayService, key: str) -> dict[str, object] | None:
    bundle = None if relay.store is None else relay.store.last(key)
    if bundle is None:
        return None
    digest = bundle.bundle_code.known_digest
    return {
        # Of one that came as a patch, the messages may still have to be made.
        "bytes": bundle.size or (0 if digest is None else digest.size),
        "sha256": digest and digest.sha256,
        "began_ms": bundle.form.began_ms,
    }
