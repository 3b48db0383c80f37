"""Enums whose members are looked up often."""

from enum import Enum


class PlainEnum(Enum):
    """An Enum whose members are hashed as any object is. They are equal to themselves alone, and
    Python's own hash of them is Python code: it is most of what a look-up in a table of transitions
    costs."""

    __hash__ = object.__hash__
