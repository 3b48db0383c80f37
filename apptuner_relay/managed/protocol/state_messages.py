"""Messages that exist in channels only: how a receiver that may have missed something is told how
things are, and how a user is told that the relay has closed it.
"""

from collections.abc import Sequence

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from apptuner_relay.spool.bundle import Digest, NoCode
from apptuner_relay.spool.store import Store
from apptuner_relay.wire import messages
from apptuner_relay.wire.messages import HEAD_BYTES, compact_json
from apptuner_relay.wire.text import parse_json

STATE_WANTED = b'{"type":"state_wanted"}'
"""Asks the other side for its state."""


def type_of(text: bytes) -> str | None:
    """The type of a message; None where it has none."""
    try:
        return messages.sniff(text[:HEAD_BYTES], len(text) <= HEAD_BYTES).type
    except messages.NotAnObject:
        return None


def closed(code: int, reason: str) -> bytes:
    """Tells a user that the relay has closed it, as a Close frame would."""
    return compact_json({"type": "closed", "code": code, "reason": reason})


def state(devices: Sequence[object], bundle: object, most_bytes: int) -> bytes:
    """Tells a user the state. Without devices where it is too long with them: the bundle is what
    nobody can do without.

    :param devices: the rows of ``device_list``.
    :param bundle: a ``bundle_available``, or None.
    """
    text = compact_json({"type": "state", "devices": list(devices), "bundle": bundle})
    if len(text) > most_bytes:
        text = compact_json({"type": "state", "devices": None, "bundle": bundle})
    return text


def read_fields(text: bytes) -> dict[str, object]:
    """The fields of a message; none where it is not a JSON object."""
    try:
        value = parse_json(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def find_bundle(store: Store | None, session_hash: str, url: str, now_ms: int) -> Deferred[object]:
    """The ``bundle_available`` of a session's last bundle; None where there is none, or its code
    can't be read. Never fails.

    :param url: of the session's bundles.
    """
    bundle = None if store is None else store.last(session_hash)
    if bundle is None:
        return succeed(None)
    file = bundle
    file.retain()

    def known(digest: Digest) -> object:
        file.release()
        address = f"{url}/{digest.sha256}"
        text = messages.bundle_available(address, digest.sha256, digest.size, now_ms)
        return parse_json(text)

    def unknown(failure: Failure) -> object:
        file.release()
        failure.trap(NoCode)
        return None

    return file.digest().addCallbacks(known, unknown)
