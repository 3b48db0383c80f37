"""Finds out whether a phone copes with compressed bundles, for the `InflatingRecord` of its relay.

Some clients end the connection without a Close in the middle of one. A phone may also have been
sent all of a bundle and fail at it; it has coped once it has said something since.
"""

from collections.abc import Callable

from apptuner_relay.spool.inflating import InflatingRecord


class CompressionTrial:
    """One phone's.

    :param seconds: the monotonic clock.
    """

    # Every phone has one.
    __slots__ = ("_device_id", "_record", "_seconds", "_sent_s", "_session_hash")

    def __init__(
        self,
        record: InflatingRecord,
        session_hash: str,
        device_id: str,
        seconds: Callable[[], float],
    ) -> None:
        self._record = record
        self._session_hash = session_hash
        self._device_id = device_id
        self._seconds = seconds
        self._sent_s: float | None = None

    @property
    def wants_plain(self) -> bool:
        """See `InflatingRecord`."""
        return self._record.wants_plain(self._session_hash, self._device_id)

    def sent(self) -> None:
        """The phone has been sent all of a compressed bundle."""
        self._sent_s = self._seconds()

    def disconnected(self, inside: bool, said_s: float | None) -> None:
        """The phone has disconnected.

        :param inside: whether it had got part of a compressed bundle.
        :param said_s: when its last message came, in seconds of the clock; None for never.
        """
        sent_s = self._sent_s
        has_coped = sent_s is not None and said_s is not None and said_s > sent_s
        if has_coped:
            self._record.coped(self._session_hash, self._device_id)
        if inside or (sent_s is not None and not has_coped):
            self._record.left_inside(self._session_hash, self._device_id)
