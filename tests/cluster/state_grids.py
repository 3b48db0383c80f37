"""State tables as tests write them: a row a state, a column an event, ``-`` where nothing changes
or nothing may happen."""

from collections.abc import Iterator, Mapping
from enum import Enum

Edge = tuple[Enum, Enum, Enum | None]


def read_grid(text: str, states: type[Enum], events: type[Enum]) -> Iterator[Edge]:
    """Every pair of a state and an event, with the state that follows, or None.

    :raises AssertionError: not all of them are in the grid.
    """
    header, *rows = [line.split() for line in text.strip().splitlines()]
    columns = [events[name] for name in header]
    assert set(columns) == set(events) and len(columns) == len(events), columns
    lines = {states[row[0]]: row[1:] for row in rows}
    assert set(lines) == set(states) and len(rows) == len(states), rows
    for state, cells in lines.items():
        for event, cell in zip(columns, cells, strict=True):
            yield state, event, None if cell == "-" else states[cell]


def reachable(table: Mapping[tuple[Enum, Enum], Enum], first: Enum) -> set[Enum]:
    """The states that can follow on one."""
    found, left = {first}, [first]
    while left:
        state = left.pop()
        new = {after for (before, _), after in table.items() if before is state} - found
        found |= new
        left += new
    return found
