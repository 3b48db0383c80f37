"""Which other relay has a session, if one has, without claiming it for this one."""

from apptuner_relay.cluster.ownership.directory import DirectoryUnreachable, Lease
from apptuner_relay.cluster.placement import ClusterPlacement


async def find_other_owner(placement: ClusterPlacement, session_hash: str) -> Lease | None:
    """The lease of a session's owner, if that is another relay, as far as that can be known now."""
    for remote in placement.remotes.in_session(session_hash):
        if remote.link is not None:
            return remote.lease
    if session_hash in placement.relay.sessions:
        return None
    try:
        lease = await placement.directory.look(session_hash)
    except DirectoryUnreachable:
        return None
    return None if lease is None or lease.node == placement.node else lease
