"""The states of a condition that `conditions.Conditions` watches, and the events that change them.

Pure.
"""

from enum import Enum


class ConditionState(Enum):
    """Whether an operator is warned of a condition."""

    CLEAR = "clear"
    """The last check found nothing wrong."""
    PENDING = "pending"
    """Something is wrong, but not yet for as long as it takes to be warned of."""
    ACTIVE = "active"
    """The operator has been warned."""


class ConditionEvent(Enum):
    """What a check finds."""

    FOUND = "found"
    """Something is wrong."""
    LASTED = "lasted"
    """It has been wrong for as long as it takes to be warned of."""
    GONE = "gone"
    """Nothing is wrong."""


TRANSITIONS: dict[tuple[ConditionState, ConditionEvent], ConditionState] = {
    (ConditionState.CLEAR, ConditionEvent.FOUND): ConditionState.PENDING,
    (ConditionState.PENDING, ConditionEvent.LASTED): ConditionState.ACTIVE,
    (ConditionState.PENDING, ConditionEvent.GONE): ConditionState.CLEAR,
    (ConditionState.ACTIVE, ConditionEvent.GONE): ConditionState.CLEAR,
}
"""An event that is missing for a state changes nothing."""
