"""Goes through a table of states, pair by pair."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from twisted.trial.unittest import SynchronousTestCase


def check_every_pair(
    case: SynchronousTestCase,
    transitions: Mapping[tuple[Any, Any], Any],
    state_type: type[Enum],
    event_type: type[Enum],
    make: Callable[[], Any],
) -> None:
    """Check that what is in the table changes the state, and that nothing else does.

    :param make: makes an object that has a ``state`` and does ``_happens(event)``.
    """
    for state in state_type:
        for event in event_type:
            with case.subTest(state=state, event=event):
                one = make()
                one.state = state
                expected = transitions.get((state, event))
                case.assertEqual(one._happens(event), expected is not None)
                case.assertIs(one.state, expected or state)
