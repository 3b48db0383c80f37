"""What waits in one sink, in the order in which it is sent.

An entry is a whole frame, or a follower that stands for all that it has yet to send of its log.
The order is that in which the messages began. A small message goes between the messages of a log,
where its sender sent it; a notice of the relay's own goes as early as it can.
"""

from collections.abc import Sequence

from apptuner_relay.flow.follower import Follower
from apptuner_relay.flow.interleaved import Waiting
from apptuner_relay.flow.source import Source
from apptuner_relay.wire.frames import Frame

_GATHER_BYTES = 128 * 1024
"""How much of several frames is offered to the transport at once: a control frame waits behind what
it doesn't take of them."""


class SendQueue(list[Waiting | Follower]):
    """The queue of one sink.

    A list, as a sink asks for every message whether it is empty; and an empty list is small.
    """

    __slots__ = ()

    @property
    def front(self) -> Waiting | Follower | None:
        """What is sent next."""
        return self[0] if self else None

    @property
    def is_busy(self) -> bool:
        """Whether anything of it can be sent, or is to be: a follower that has sent all that there
        is of its log, up to the end of a message, counts for nothing."""
        return any(not (isinstance(one, Follower) and one.is_idle) for one in self)

    @property
    def expects_more(self) -> bool:
        """Whether a follower has messages to send, or is inside one."""
        return any(isinstance(one, Follower) and not one.is_idle for one in self)

    @property
    def held_sources(self) -> set[Source]:
        """The sources that can't go on because of its followers."""
        roots = {one.holds for one in self if isinstance(one, Follower)}
        return {root for root in roots if isinstance(root, Source)}

    def follower_for(self, source: Source | None) -> Follower | None:
        """The follower between whose messages a small message of ``source`` goes: one of the
        source's own log, while more of that may come. None for the end of the queue."""
        idle: Follower | None = None
        for one in reversed(self):
            if isinstance(one, Waiting):
                if one.source is source:
                    break
            elif one.log.root is source:
                if not one.has_sent_begun:
                    return one if one.is_open else None
                # It may have let one go that began later.
                if one.is_open:
                    idle = one
        if idle is not None:
            return idle
        last = self[-1] if self else None
        return last if isinstance(last, Follower) and last.is_open else None

    def add_notice(self, waiting: Waiting) -> None:
        """Add a notice of the relay's own: behind the message that is on its way, and behind the
        small messages that wait in front of all logs."""
        for index, one in enumerate(self):
            if isinstance(one, Follower):
                if not index and one.offset:
                    one.add_notice(waiting)
                else:
                    self.insert(index, waiting)
                return
        self.append(waiting)

    def take_frames(self) -> list[Waiting]:
        """Remove the frames in front of the first follower, as many as are offered at once, and
        return them."""
        taken: list[Waiting] = []
        size = 0
        while self and size < _GATHER_BYTES:
            one = self[0]
            if isinstance(one, Follower) or (taken and size + len(one.data) > _GATHER_BYTES):
                break
            self.pop(0)
            taken.append(one)
            size += len(one.data)
        return taken

    def take_followers(self) -> list[Follower]:
        """Empty the queue. Returns the followers that were in it."""
        followers = [one for one in self if isinstance(one, Follower)]
        self.clear()
        return followers

    def rest_of_frame(self, fresh: Sequence[Frame]) -> bytes | None:
        """What has to be sent before a Close can follow: the rest of the frame that the follower in
        front is inside, and what is ``fresh``. None where that isn't in memory."""
        front = self.front
        rest: bytes | None = front.rest_of_frame() if isinstance(front, Follower) else b""
        return None if rest is None else rest + b"".join(fresh)

    def move_to_end(self, follower: Follower) -> bool:
        """Move ``follower`` behind the others, if one of those has something to send. Returns
        whether it was moved."""
        if not any(isinstance(one, Waiting) or one.is_due for one in self if one is not follower):
            return False
        self.remove(follower)
        self.append(follower)
        return True

    def replace(self, follower: Follower, frames: Sequence[Waiting]) -> bool:
        """Put ``frames`` in the place of ``follower``. Returns whether it had a place."""
        if follower not in self:
            return False
        at = self.index(follower)
        self[at : at + 1] = frames
        return True
