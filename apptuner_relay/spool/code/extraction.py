"""Reads the code of a bundle out of its wire form: the frames in which the relay sends it. Pure.

Bytes of the wire form are fed in pieces of any size, and the code comes out as UTF-8. What is in
memory is bounded by the size of a piece, however long the bundle is. A bundle is one
``bundle_update``, or a ``bundle_start`` and its ``bundle_chunk`` messages; each message may be
compressed. All of the bundle has to be there, in order.
"""

from collections.abc import Iterator

from apptuner_relay.spool.code.json_scanner import NotJson, Scan
from apptuner_relay.spool.code.json_string import NotALiteral, Unescaping
from apptuner_relay.wire.deflate import Inflation
from apptuner_relay.wire.frames import BINARY, COMPRESSED, CONTINUATION, FrameError
from apptuner_relay.wire.server_frames import MOST_MESSAGE_BYTES, ServerFrames

_TYPE, _TOTAL, _INDEX = "type", "totalChunks", "index"
_UPDATE, _START, _CHUNK = "bundle_update", "bundle_start", "bundle_chunk"
_CODE_OF_UPDATE = ("payload", "code")
_CODE_OF_CHUNK = ("data",)


class Unreadable(ValueError):
    """The code can't be read. The text says why, and nothing of the contents."""


class Extraction:
    """Reads the code of one bundle.

    After `Unreadable` it can't be used any more, and the code that it has yielded is of no use.

    :param most_message_bytes: the most bytes that a message may have, inflated.
    """

    def __init__(self, most_message_bytes: int = MOST_MESSAGE_BYTES) -> None:
        self._most_message_bytes = most_message_bytes
        self._frames = ServerFrames()
        self._unescaping = Unescaping()
        self._scan: Scan | None = None
        self._inflation: Inflation | None = None
        self._message_bytes = 0
        self._chunks_wanted: int | None = None
        """How many chunks there will be; None until the first message has ended."""
        self._chunks = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the code in the next bytes of the wire form, as UTF-8, in pieces of any size. The
        pieces have to be used up before the next call.

        :raises Unreadable: the code can't be read.
        """
        try:
            for opcode, end, payload in self._frames.feed(data):
                scan = self._begin(opcode) if opcode != CONTINUATION else self._scan
                assert scan is not None  # ServerFrames begins no message with a continuation
                for text in self._texts(payload, end):
                    yield from scan.feed(text)
                if end:
                    scan.finish()
                    self._end(scan)
        except FrameError as error:
            raise Unreadable(error.reason) from None
        except (NotJson, NotALiteral, Unreadable) as error:
            raise Unreadable(str(error)) from None
        except ValueError as error:
            raise Unreadable(f"not a server's frames: {error}") from None

    def finish(self) -> bytes:
        """Return the rest of the code: all of the wire form has been fed.

        :raises Unreadable: the bundle isn't whole.
        """
        if self._chunks_wanted is None or not self._frames.whole:
            raise Unreadable("the bundle has no end")
        if self._chunks < self._chunks_wanted:
            raise Unreadable(f"{self._chunks} of {self._chunks_wanted} chunks")
        return self._unescaping.finish()

    def _begin(self, opcode: int) -> Scan:
        """A message begins."""
        if opcode & BINARY:
            raise Unreadable("a binary message")
        wanted = self._chunks_wanted
        if wanted is not None and self._chunks == wanted:
            raise Unreadable("a message after the bundle's last")
        if wanted is None:
            self._scan = Scan(_CODE_OF_UPDATE, (_TYPE, _TOTAL), self._unescaping)
        else:
            self._scan = Scan(_CODE_OF_CHUNK, (_TYPE, _INDEX), self._unescaping)
        compressed = opcode & COMPRESSED
        self._inflation = Inflation(self._most_message_bytes) if compressed else None
        self._message_bytes = 0
        return self._scan

    def _texts(self, payload: bytes, end: bool) -> Iterator[bytes]:
        """The text of a piece of a message."""
        inflation = self._inflation
        if inflation is not None:
            inflation.feed(payload, end)
            while text := inflation.read():
                yield text
            return
        self._message_bytes += len(payload)
        if self._message_bytes > self._most_message_bytes:
            raise Unreadable(f"message above {self._most_message_bytes} bytes")
        yield payload

    def _end(self, scan: Scan) -> None:
        """A message has ended."""
        kind = scan.fields.get(_TYPE)
        if self._chunks_wanted is None and kind == _UPDATE:
            if not scan.has_code:
                raise Unreadable("a bundle_update without code")
            self._chunks_wanted = 0
        elif self._chunks_wanted is None and kind == _START:
            total = scan.fields.get(_TOTAL)
            if scan.has_code or type(total) is not int or total < 1:
                raise Unreadable("a bundle_start that is none")
            self._chunks_wanted = total
        elif self._chunks_wanted and kind == _CHUNK:
            if not scan.has_code:
                raise Unreadable("a bundle_chunk without data")
            if scan.fields.get(_INDEX, self._chunks) != self._chunks:
                raise Unreadable("chunks out of order")
            self._chunks += 1
        else:
            raise Unreadable("a message that is not of a bundle")
