"""The states of a `bundle_upload.BundleUpload`, and the events that change them. Pure."""

from enum import Enum


class UploadState(Enum):
    """How far an upload has got."""

    CHECKING = "checking"
    """Whether it may come in is being decided, and its session's place is looked for: nothing of
    the body is read."""
    SENDING = "sending"
    """It is a member of its session, and its body goes to the phones as it arrives, within
    ``--stall-timeout`` for each piece."""
    AWAITING = "awaiting"
    """All of the body has been passed on, and the receipt is awaited."""
    OVER = "over"
    """It was answered, or its client has disconnected."""


class UploadEvent(Enum):
    """What happens to an upload."""

    ADMITTED = "admitted"
    """It has become a member of its session."""
    PASSED_ON = "passed on"
    """The end of its body has been passed on."""
    RECEIPT = "receipt"
    """What has become of its bundle is known."""
    REFUSED = "refused"
    """It may not come in, its body is none that can be passed on, or its session has closed it."""
    LOST = "lost"
    """Its client has disconnected."""


_OPEN = (UploadState.CHECKING, UploadState.SENDING, UploadState.AWAITING)

TRANSITIONS: dict[tuple[UploadState, UploadEvent], UploadState] = {
    (UploadState.CHECKING, UploadEvent.ADMITTED): UploadState.SENDING,
    (UploadState.SENDING, UploadEvent.PASSED_ON): UploadState.AWAITING,
    (UploadState.AWAITING, UploadEvent.RECEIPT): UploadState.OVER,
    **{(state, UploadEvent.REFUSED): UploadState.OVER for state in _OPEN},
    **{(state, UploadEvent.LOST): UploadState.OVER for state in _OPEN},
}
"""An event that is missing for a state changes nothing."""
