"""How an upload is answered: status and JSON for what has become of its bundle. Pure."""

from typing import NamedTuple

from apptuner_relay.relay.bundle_receipt import Receipt
from apptuner_relay.relay.bundle_receipt_states import ReceiptState
from apptuner_relay.session.session import BadRequest
from apptuner_relay.wire.bundle_patch import MOST_PATCH_BYTES, PatchFault
from apptuner_relay.wire.frames import (
    CLOSE_INTERNAL_ERROR,
    CLOSE_INVALID_PAYLOAD,
    CLOSE_NORMAL,
    CLOSE_POLICY,
    CLOSE_TOO_BIG,
)

LOST = "lost"
"""How an upload is counted whose client disconnects before it is answered; others by status."""
RESULTS = ("201", "409", "507", LOST)
"""How uploads are counted that may come in and whose clients make no mistake."""

_RETRY_AFTER = ("Retry-After", "5")
_UNAVAILABLE = 503
_STATUSES = {
    CLOSE_NORMAL: 409,
    CLOSE_INVALID_PAYLOAD: 400,
    CLOSE_POLICY: 403,
    CLOSE_TOO_BIG: 413,
    CLOSE_INTERNAL_ERROR: 500,
}
_SUPERSEDED = "A bundle that began later has taken the place of this one"
_NOT_KEPT = "The bundle has gone to the phones that were there, but the relay can't keep it now"


_PATCH_REFUSALS = {
    PatchFault.MALFORMED: (400, "The body is not the JSON of a bundle_patch"),
    PatchFault.BASE: (412, "The bundle that is kept is not the base of the patch, or none is kept"),
    PatchFault.TOO_BIG: (
        413,
        f"A patch of more than {MOST_PATCH_BYTES} bytes, or one that makes a bundle above"
        " --max-message",
    ),
    PatchFault.NOT_NOW: (503, "The patch can't be checked now: send it again, or the whole"),
}
_UNFIT = (422, "The patch doesn't fit its base, or what it says that it makes")


class PatchRefusal(BadRequest):
    """A patch is refused.

    :param status: the HTTP status, where it isn't that which such patches get.
    """

    def __init__(self, fault: PatchFault, status: int = 0, text: str = "") -> None:
        usual_status, usual_text = _PATCH_REFUSALS.get(fault, _UNFIT)
        super().__init__(status or usual_status, text or usual_text)
        self.reason = fault.value


class UploadAnswer(NamedTuple):
    """The answer to an upload."""

    status: int
    fields: dict[str, object]
    """Its JSON."""
    headers: tuple[tuple[str, str], ...] = ()


def answer_receipt(receipt: Receipt, sha256: str, size: int, bundles_url: str) -> UploadAnswer:
    """The answer where all of the bundle has come.

    :param sha256: of its code as UTF-8, in hex; ``size`` is how many bytes that has.
    :param bundles_url: of its session's bundles.
    """
    fields: dict[str, object] = {"sha256": sha256, "size": size, "phones": receipt.phones}
    if receipt.outcome is ReceiptState.KEPT:
        url = f"{bundles_url}/{sha256}"
        return UploadAnswer(201, {**fields, "url": url}, (("Location", url),))
    if receipt.outcome is ReceiptState.SUPERSEDED:
        return UploadAnswer(409, {"error": _SUPERSEDED, **fields})
    return UploadAnswer(507, {"error": _NOT_KEPT, **fields})


def answer_refusal(wrong: BadRequest) -> UploadAnswer:
    """The answer to an upload that is refused."""
    headers = tuple(wrong.headers)
    if wrong.status == _UNAVAILABLE and not any(name == "Retry-After" for name, _ in headers):
        headers += (_RETRY_AFTER,)
    fields: dict[str, object] = {"error": str(wrong)}
    if isinstance(wrong, PatchRefusal):
        fields["reason"] = wrong.reason
    return UploadAnswer(wrong.status, fields, headers)


def refusal_of_close(code: int, reason: str) -> BadRequest:
    """How an upload is refused that its session closes, with a code of RFC 6455 §7.4.1: where there
    is no status for that, it may succeed later."""
    return BadRequest(_STATUSES.get(code, _UNAVAILABLE), reason)
