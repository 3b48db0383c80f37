"""The body of an upload: undoes its content coding, and writes the code that is in it as the
``bundle_update`` that a CLI would send. Pure.

Of the codings only gzip is undone: of the libraries for the others, not all versions that the relay
runs with can bound what a few bytes of input grow to.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

from apptuner_relay.session.session import BadRequest
from apptuner_relay.wire.deflate import codec
from apptuner_relay.wire.json_escaper import MOST_GROWTH, JsonEscaper, NotText

CODINGS = ("gzip", "identity")
"""The content codings (RFC 9110 §8.4.1) that a body may have."""
MOST_PIECE_BYTES = 64 * 1024
"""How much code is escaped at once: about a millisecond's work, with all that is done to it."""
_BEGIN = b'{"type":"bundle_update","payload":{"code":"'
_END = b'"},"timestamp":%d}'
_AROUND_BYTES = len(_BEGIN) + len(_END) + 20
"""How many bytes a message has around the code, at most."""
MOST_BLOCK_BYTES = MOST_PIECE_BYTES * MOST_GROWTH + _AROUND_BYTES

_GZIP_WINDOW_BITS = 31
_NAMES = {"": "identity", "identity": "identity", "gzip": "gzip", "x-gzip": "gzip"}


def read_coding(field: str | None) -> str:
    """The one of `CODINGS` that a Content-Encoding names.

    :raises BadRequest: 415, it is another one.
    """
    coding = _NAMES.get((field or "").strip().lower())
    if coding is None:
        raise BadRequest(
            415,
            f"A body may be in one of these content codings: {', '.join(CODINGS)}",
            (("Accept-Encoding", ", ".join(CODINGS)),),
        )
    return coding


def too_large(max_message: int) -> BadRequest:
    """What refuses a bundle that would be a message of more bytes."""
    return BadRequest(413, f"A bundle above {max_message} bytes (--max-message)")


class BodyDecoder:
    """Undoes the content coding of one body.

    :param coding: one of `CODINGS`.
    """

    def __init__(self, coding: str) -> None:
        self._gzip: Any = None if coding == "identity" else codec.decompressobj(_GZIP_WINDOW_BITS)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What is in the next bytes of the body, in pieces of up to `MOST_PIECE_BYTES`. The work is
        done as the iteration goes on.

        :raises BadRequest: 400, it is not in its coding.
        """
        for at in range(0, len(data), MOST_PIECE_BYTES):
            piece = data[at : at + MOST_PIECE_BYTES]
            if self._gzip is None:
                yield piece
            else:
                yield from self._inflate(piece)

    def finish(self) -> None:
        """All of the body has been fed.

        :raises BadRequest: 400, it ends too early.
        """
        if self._gzip is not None and not self._gzip.eof:
            raise BadRequest(400, "The body ends inside of its gzip stream")

    def _inflate(self, piece: bytes) -> Iterator[bytes]:
        while True:
            if self._gzip.eof:
                if piece:
                    raise BadRequest(400, "The body goes on behind its gzip stream")
                return
            try:
                made: bytes = self._gzip.decompress(piece, MOST_PIECE_BYTES)
            except codec.error:
                raise BadRequest(
                    400, "The body is not gzip, as its Content-Encoding says"
                ) from None
            piece = self._gzip.unused_data if self._gzip.eof else self._gzip.unconsumed_tail
            if made:
                yield made
            if not piece and len(made) < MOST_PIECE_BYTES:
                return


class UploadBody:
    """One body that is a bundle's code.

    :param coding: one of `CODINGS`.
    :param max_message: the most bytes that a message may have.
    """

    def __init__(self, coding: str, max_message: int) -> None:
        self.size = 0
        """Bytes of the code so far."""
        self._max_message = max_message
        self._left = max_message - _AROUND_BYTES
        self._escaper = JsonEscaper()
        self._sha256 = hashlib.sha256()
        self._decoder = BodyDecoder(coding)

    @property
    def sha256(self) -> str:
        """Hex SHA-256 of the code so far."""
        return self._sha256.hexdigest()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take the next bytes of the body. The work is done as the iteration goes on, so that it
        may rest in between; it is to end before the next call.

        :return: the message as far as it goes, in blocks of up to `MOST_BLOCK_BYTES`.
        :raises BadRequest: 400 for what is no text, or not in its coding; 413 for too much.
        """
        yield from map(self._escape, self._decoder.feed(data))

    def finish(self, now_ms: int) -> bytes:
        """All of the body has been fed. Returns the end of the message.

        :param now_ms: the time in ms since the epoch.
        :raises BadRequest: 400, it ends too early, or is empty.
        """
        self._decoder.finish()
        if not self.size:
            raise BadRequest(400, "The body is empty: it has to be the code of a bundle")
        try:
            self._escaper.finish()
        except NotText:
            raise BadRequest(400, "The body ends inside of a UTF-8 character") from None
        return _END % now_ms

    def _escape(self, piece: bytes) -> bytes:
        begin = b"" if self.size else _BEGIN
        self.size += len(piece)
        self._sha256.update(piece)
        try:
            block = self._escaper.feed(piece)
        except NotText:
            raise BadRequest(400, "The body is not UTF-8") from None
        self._left -= len(block)
        if self._left < 0:
            raise too_large(self._max_message)
        return begin + block
