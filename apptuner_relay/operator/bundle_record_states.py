"""The states of the record of a bundle, and the events that change them. Pure;
`bundle_record.BundleRecord` acts on them.
"""

from apptuner_relay.support.plain_enum import PlainEnum


class RecordState(PlainEnum):
    """How far a bundle is."""

    ARRIVING = "arriving"
    """More of it is to come from its sender."""
    WHOLE = "whole"
    """All of it has come. Phones are still to get it, or to answer."""
    CUT = "cut"
    """Its rest never comes. Phones are still to be told."""
    WHOLE_SETTLED = "whole, settled"
    """All of it has come, and no phone is waited for."""
    CUT_SETTLED = "cut, settled"
    """Its rest never comes, and no phone is waited for."""

    @property
    def shown(self) -> str:
        """As rows show it: they say apart from it whether it is settled."""
        return self.value.partition(",")[0]

    @property
    def is_whole(self) -> bool:
        """Whether all of it has come."""
        return self in _WHOLE

    @property
    def is_settled(self) -> bool:
        """Whether no phone is waited for any more."""
        return self in _SETTLED


class RecordEvent(PlainEnum):
    """What happens to a bundle."""

    CAME = "came"
    """Its sender has sent the last of it."""
    CUT_SHORT = "cut short"
    """Its sender has disconnected, has stopped, or has begun another."""
    SETTLED = "settled"
    """Every phone has answered, or left; or the time for that is over."""


TRANSITIONS: dict[tuple[RecordState, RecordEvent], RecordState] = {
    (RecordState.ARRIVING, RecordEvent.CAME): RecordState.WHOLE,
    (RecordState.ARRIVING, RecordEvent.CUT_SHORT): RecordState.CUT,
    (RecordState.WHOLE, RecordEvent.SETTLED): RecordState.WHOLE_SETTLED,
    (RecordState.CUT, RecordEvent.SETTLED): RecordState.CUT_SETTLED,
}
"""An event that is missing for a state changes nothing."""

_SETTLED = frozenset({RecordState.WHOLE_SETTLED, RecordState.CUT_SETTLED})
_WHOLE = frozenset({RecordState.WHOLE, RecordState.WHOLE_SETTLED})
