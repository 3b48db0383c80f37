"""What sinks couldn't send of frames that are parts of a receive buffer, copied out of it: once for
all sinks that have the same frames left, as phones that stop reading mostly stop in one block.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Protocol

Frame = bytes | bytearray | memoryview


class Rest:
    """The bytes of ``parts`` from ``taken`` on, of which there is at least one."""

    __slots__ = ("parts", "size", "taken")

    def __init__(self, parts: Sequence[Frame], taken: int) -> None:
        # Those that were sent whole are of no account.
        whole = 0
        while taken >= len(parts[whole]):
            taken -= len(parts[whole])
            whole += 1
        self.parts = parts[whole:]
        self.taken = taken
        self.size = sum(map(len, self.parts)) - taken

    def views(self) -> list[Frame]:
        """The bytes as they are, for who has frames that nobody writes over."""
        return [memoryview(self.parts[0])[self.taken :], *self.parts[1:]]

    def copy(self) -> bytes:
        """The bytes, copied."""
        return b"".join(self.views())

    def ends(self, other: "Rest") -> bool:
        """Whether it is the end of ``other``, or all of it: the same frames, not equal ones."""
        behind = islice(reversed(other.parts), len(self.parts))
        return self.size <= other.size and all(map(_is, reversed(self.parts), behind))


class Keeper(Protocol):
    """Who may have something left: a sink."""

    left: Rest | None

    def keep(self, rest: Frame) -> None:
        """Keep ``rest`` in the place of what is left."""


def keep_what_is_left(keepers: Iterable[Keeper]) -> None:
    """Copy what each has left. What is the end of the longest one shares its copy."""
    left = [(one, one.left) for one in keepers if one.left is not None]
    if not left:
        return
    longest = max((rest for _, rest in left), key=lambda rest: rest.size)
    data = memoryview(longest.copy())
    for keeper, rest in left:
        keeper.keep(data[longest.size - rest.size :] if rest.ends(longest) else rest.copy())


def _is(one: Frame, other: Frame) -> bool:
    return one is other
