"""The body of an upload that is a patch: the JSON of a ``bundle_patch`` (`wire.bundle_patch`), with
or without its ``type``. It is passed on as the message that a CLI would send. Pure.

JSON is not parsed here, as that may take thirty times its size in memory: the worker process does
that, and refuses what is malformed. Only the fields are read that the answer needs. Their names and
values hold no escapes, and within a JSON text nothing else looks like them.
"""

import re
from collections.abc import Iterator

from apptuner_relay.session.session import BadRequest
from apptuner_relay.web.conditional import failed_precondition
from apptuner_relay.web.upload_answers import PatchRefusal
from apptuner_relay.web.upload_body import BodyDecoder
from apptuner_relay.wire.bundle_patch import MOST_PATCH_BYTES, PatchFault

_BEGIN = b'{"type":"bundle_patch"'
_LEAST_BYTES = 64
"""A patch has more: it names two SHA-256."""
_SPACE = b" \t\r\n"
_FIELD = rb'[{,\s]"%b"\s*+:\s*+%b(?=[,}\s])'
_BASE = re.compile(_FIELD % (b"base", b'"([0-9a-f]{64})"'))
_SHA256 = re.compile(_FIELD % (b"sha256", b'"([0-9a-f]{64})"'))
_SIZE = re.compile(_FIELD % (b"size", rb"([0-9]{1,16})"))
_TAG_OF_BUNDLE = re.compile(r'"([0-9a-f]{64})(?:-[0-9a-z-]+)?"')


class PatchBody:
    """One such body; see `UploadBody`.

    :param coding: one of `upload_body.CODINGS`.
    :param if_match: the ``If-Match`` of the request.
    """

    def __init__(self, coding: str, if_match: str) -> None:
        self.size = 0
        """Bytes of the code that the patch makes; known when the body is whole."""
        self.sha256 = ""
        """The hex SHA-256 of that code, likewise."""
        self._if_match = if_match
        self._decoder = BodyDecoder(coding)
        self._text = bytearray()
        self._taken = 0
        self._has_begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """See `UploadBody.feed`.

        :raises BadRequest: 400 for what is not in its coding, 413 for more than `MOST_PATCH_BYTES`.
        """
        for piece in self._decoder.feed(data):
            self._taken += len(piece)
            if self._taken > MOST_PATCH_BYTES:
                raise PatchRefusal(PatchFault.TOO_BIG)
            self._text += piece if self._text else piece.lstrip(_SPACE)
            if self._has_begun:
                yield piece
            elif len(self._text) >= _LEAST_BYTES:
                self._has_begun = True
                yield self._begin()

    def finish(self, now_ms: int) -> bytes:
        """See `UploadBody.finish`.

        :raises BadRequest: 400, it ends too early, or is no patch; 422, it is of another base than
            ``If-Match`` names.
        """
        self._decoder.finish()
        text = bytes(self._text)
        bases, sums, sizes = (field.findall(text) for field in (_BASE, _SHA256, _SIZE))
        if not (self._has_begun and bases and sums and sizes):
            raise PatchRefusal(PatchFault.MALFORMED)
        # Of a name that is there twice the last one counts, to the worker as to phones.
        self.sha256, self.size = sums[-1].decode(), int(sizes[-1])
        if any(not _names(self._if_match, base.decode()) for base in bases):
            raise PatchRefusal(
                PatchFault.BASE, 422, "If-Match names another bundle than the patch has as its base"
            )
        return b""

    def _begin(self) -> bytes:
        text = bytes(self._text)
        if text[:1] != b"{":
            raise PatchRefusal(PatchFault.MALFORMED)
        if text.startswith(_BEGIN):
            return text
        # A type that comes later is the one that counts.
        return b"%b,%b" % (_BEGIN, text[1:])


def check_if_match(field: str | None) -> str:
    """An ``If-Match`` that names the base of a patch: the entity tag of a bundle, in any coding.

    :raises BadRequest: 428, it is missing, or names no bundle.
    """
    if field is None or not _TAG_OF_BUNDLE.search(field):
        raise BadRequest(428, 'A patch needs If-Match: "SHA256", with the SHA-256 of its base')
    return _TAG_OF_BUNDLE.sub(r'"\1"', field)


def _names(if_match: str, base: str) -> bool:
    return failed_precondition(f'"{base}"', if_match, None) is None
