"""How far into a bundle one phone's connection is. Pure.

A phone that has the beginning of a bundle in several messages gets its rest, or a newer bundle in
its place, or has its connection closed. It never waits for a rest that doesn't come.
"""

from apptuner_relay.flow.reception_states import TRANSITIONS, ReceptionEvent, ReceptionState


class Reception:
    """What one phone's connection has got of bundles, from any sender.

    A bundle is named by a key, which may be any object. What happens to any but the newest bundle
    changes nothing: the newest has superseded it.
    """

    __slots__ = (
        "_newest",
        "state",
    )

    def __init__(self) -> None:
        self.state = ReceptionState.WHOLE
        self._newest: object = None

    def promise(self, key: object) -> None:
        """A bundle begins, or is to be replayed. It is the newest one from now on."""
        self._newest = key
        self._happens(ReceptionEvent.PROMISED)

    def begun(self, key: object) -> None:
        """Its first message has been sent."""
        if key is self._newest:
            self._happens(ReceptionEvent.BEGUN)

    def ended(self, key: object) -> None:
        """All of it has been sent."""
        if key is self._newest:
            self._newest = None
            self._happens(ReceptionEvent.ENDED)

    def lost(self, key: object) -> bool:
        """The rest of it never comes. Returns whether the phone's connection has to be closed."""
        if key is not self._newest:
            return False
        self._newest = None
        self._happens(ReceptionEvent.LOST)
        return self.state is ReceptionState.CUT

    def awaits(self, key: object) -> bool:
        """Whether that bundle is the newest one, and not all of it has been sent."""
        return key is self._newest

    def _happens(self, event: ReceptionEvent) -> None:
        self.state = TRANSITIONS[self.state, event]
