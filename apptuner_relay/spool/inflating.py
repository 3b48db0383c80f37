"""Which phones are sent bundles plain though they take compressed ones. Pure.

A compressed bundle may inflate to more than a client takes. Some clients then drop the connection
without a Close frame.
"""

from collections import OrderedDict

_MOST_TIMES = 2
_MOST_PHONES = 1024


class InflatingRecord:
    """How often phones have disconnected in the middle of a compressed bundle, by session and
    ``deviceId``; of the last `_MOST_PHONES` phones that did.
    """

    def __init__(self) -> None:
        self._left: OrderedDict[tuple[str, str], int] = OrderedDict()

    def wants_plain(self, session_hash: str, device_id: str) -> bool:
        """Whether that phone has disconnected in the middle of a compressed bundle twice, and has
        got none whole in between."""
        return self._left.get((session_hash, device_id), 0) >= _MOST_TIMES

    def left_inside(self, session_hash: str, device_id: str) -> None:
        """It has disconnected in the middle of one."""
        key = session_hash, device_id
        self._left[key] = self._left.pop(key, 0) + 1
        if len(self._left) > _MOST_PHONES:
            self._left.popitem(last=False)

    def coped(self, session_hash: str, device_id: str) -> None:
        """It has got one whole, and has stayed connected."""
        self._left.pop((session_hash, device_id), None)
