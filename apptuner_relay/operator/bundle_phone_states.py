"""The states of a bundle on its way to one phone, and the events that change them. Pure;
`phone_record.PhoneRecord` acts on them.
"""

from apptuner_relay.support.plain_enum import PlainEnum


class BundlePhoneState(PlainEnum):
    """How far a phone is with a bundle."""

    WAITING = "waiting"
    """It has got nothing of it: other messages go first, or the relay finds out what it needs."""
    GETTING = "getting"
    """It has got the first bytes."""
    SENT = "sent"
    """All of it was given to its connection, and its acknowledgement is awaited."""
    UNANSWERED = "unanswered"
    """Likewise, and it has not answered in time. It may still answer."""
    ACKNOWLEDGED = "acknowledged"
    """It says that it runs the bundle."""
    FAILED = "failed"
    """It says that it can't run the bundle."""
    CUT = "cut"
    """The rest of it never comes."""
    LEFT = "left"
    """It has disconnected before it answered."""
    SUPERSEDED = "superseded"
    """It gets another bundle instead, or has got one before it answered."""

    @property
    def shown(self) -> str:
        """As rows show it: whether an answer is still awaited is none of their concern."""
        return BundlePhoneState.SENT.value if self is BundlePhoneState.UNANSWERED else self.value


class BundlePhoneEvent(PlainEnum):
    """What happens to a bundle on its way to a phone."""

    BEGUN = "begun"
    """Its first bytes are given to the phone's connection."""
    SENT = "sent"
    """The last ones are, or a message in its place is."""
    ACKNOWLEDGED = "acknowledged"
    """The phone says that it runs the bundle."""
    FAILED = "failed"
    """The phone says that it can't."""
    EXPIRED = "expired"
    """The phone had time enough to answer."""
    CUT = "cut"
    """The rest of it never comes."""
    LEFT = "left"
    """The phone has disconnected."""
    SUPERSEDED = "superseded"
    """The phone gets another bundle instead, or has got one."""
    WANTED_WHOLE = "wanted whole"
    """The phone could not use what it got in the bundle's place, and asks for the bundle."""


_STATE, _EVENT = BundlePhoneState, BundlePhoneEvent
TRANSITIONS: dict[tuple[BundlePhoneState, BundlePhoneEvent], BundlePhoneState] = {
    (_STATE.WAITING, _EVENT.BEGUN): _STATE.GETTING,
    (_STATE.WAITING, _EVENT.SENT): _STATE.SENT,
    (_STATE.WAITING, _EVENT.CUT): _STATE.CUT,
    (_STATE.WAITING, _EVENT.LEFT): _STATE.LEFT,
    (_STATE.WAITING, _EVENT.SUPERSEDED): _STATE.SUPERSEDED,
    (_STATE.GETTING, _EVENT.SENT): _STATE.SENT,
    # Where nobody knows how many chunks there will be, the phone may know before the relay.
    (_STATE.GETTING, _EVENT.ACKNOWLEDGED): _STATE.ACKNOWLEDGED,
    (_STATE.GETTING, _EVENT.FAILED): _STATE.FAILED,
    (_STATE.GETTING, _EVENT.CUT): _STATE.CUT,
    (_STATE.GETTING, _EVENT.LEFT): _STATE.LEFT,
    (_STATE.GETTING, _EVENT.SUPERSEDED): _STATE.SUPERSEDED,
    (_STATE.SENT, _EVENT.ACKNOWLEDGED): _STATE.ACKNOWLEDGED,
    (_STATE.SENT, _EVENT.FAILED): _STATE.FAILED,
    (_STATE.SENT, _EVENT.EXPIRED): _STATE.UNANSWERED,
    (_STATE.SENT, _EVENT.LEFT): _STATE.LEFT,
    (_STATE.SENT, _EVENT.SUPERSEDED): _STATE.SUPERSEDED,
    (_STATE.SENT, _EVENT.WANTED_WHOLE): _STATE.WAITING,
    (_STATE.UNANSWERED, _EVENT.ACKNOWLEDGED): _STATE.ACKNOWLEDGED,
    (_STATE.UNANSWERED, _EVENT.FAILED): _STATE.FAILED,
    (_STATE.UNANSWERED, _EVENT.WANTED_WHOLE): _STATE.WAITING,
    # The last answer counts.
    (_STATE.ACKNOWLEDGED, _EVENT.FAILED): _STATE.FAILED,
    (_STATE.FAILED, _EVENT.ACKNOWLEDGED): _STATE.ACKNOWLEDGED,
    (_STATE.FAILED, _EVENT.WANTED_WHOLE): _STATE.WAITING,
    # It is back on another connection, and answers there.
    (_STATE.LEFT, _EVENT.ACKNOWLEDGED): _STATE.ACKNOWLEDGED,
    (_STATE.LEFT, _EVENT.FAILED): _STATE.FAILED,
}
"""An event that is missing for a state changes nothing."""

AWAITED = frozenset({_STATE.WAITING, _STATE.GETTING, _STATE.SENT})
"""The states in which something is still to come."""
