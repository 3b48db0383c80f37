"""Answers one request for a bundle from that bundle: chooses the representation, and sends it.

A representation is the code in one content coding, with an entity tag of its own. The code is coded
against a dictionary (``dcz``, RFC 9842) for clients that name that coding and have a bundle of the
session that is kept; never where a range is asked for, as the dictionary may be gone when the rest
is.
"""

import os
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from twisted.web.server import Request

from apptuner_relay.operator.download_counter import DownloadCounter
from apptuner_relay.session.session import BadRequest, session_hash
from apptuner_relay.spool.bundle import IDENTITY, Bundle, BundleCache, CodeFile, Digest, NoCode
from apptuner_relay.web.conditional import failed_precondition, range_applies
from apptuner_relay.web.negotiation import PREFERENCE, names_coding, preferred_coding
from apptuner_relay.web.ranges import NotSatisfiable, requested_range
from apptuner_relay.web.streaming import Reactor, ResponseWriter, in_thread, send_file
from apptuner_relay.wire.dictionary_transport import (
    DCZ,
    DICTIONARY_BYTES,
    read_available_dictionary,
    tag_of_dictionary,
    write_use_as_dictionary,
)

OF_A_REPRESENTATION = (
    *(b"etag", b"content-location", b"content-encoding", b"content-range", b"accept-ranges"),
    b"use-as-dictionary",
)
"""The fields of an answer that say something of what it sends."""

_REVALIDATE = "no-cache"
_IMMUTABLE = "public, max-age=31536000, immutable"
_PRIVATE = "private, no-cache"
_PRIVATE_IMMUTABLE = "private, max-age=31536000, immutable"


class BundleTarget(NamedTuple):
    """The bundle that a path names."""

    session_id: str
    sha256: str | None
    """None for the latest bundle."""

    @property
    def session_hash(self) -> str:
        return session_hash(self.session_id)

    def cache_control(self, private: bool) -> str:
        """How long caches may go by the answer, and whether shared ones may have it."""
        if private:
            return _PRIVATE_IMMUTABLE if self.sha256 else _PRIVATE
        return _IMMUTABLE if self.sha256 else _REVALIDATE


class Served(NamedTuple):
    """What all answers have in common."""

    cache: BundleCache
    reactor: Reactor
    with_dictionaries: bool
    """Whether code may be coded against a dictionary."""
    varies: Sequence[str]
    """The request's fields on which the answer depends."""
    downloads: DownloadCounter


class _Representation(NamedTuple):
    """A representation."""

    coding: str
    etag: str
    base: "_Base | None"
    """The dictionary."""


class _Base(NamedTuple):
    bundle: Bundle
    sha256: str


class BundleAnswer:
    """The answer to one request.

    :param private: whether it is for this client alone.
    """

    def __init__(
        self,
        request: Request,
        writer: ResponseWriter,
        target: BundleTarget,
        private: bool,
        served: Served,
    ) -> None:
        self._request = request
        self._writer = writer
        self._target = target
        self._private = private
        self._served = served

    async def send(self, bundle: Bundle) -> None:
        """Answer from ``bundle``, which is retained until this is done.

        :raises BadRequest: it isn't what the request asks for.
        :raises NoCode: it can't be read.
        """
        digest = await bundle.digest()
        if self._target.sha256 not in (None, digest.sha256):
            raise BadRequest(404, "The bundle of this session that is kept has another SHA-256")
        self._request.setHeader(b"vary", ", ".join(self._served.varies).encode())
        base = await self._find_base()
        try:
            if base is not None:
                try:
                    await self._send(bundle, digest, self._choose(digest.sha256, base))
                    return
                except NoCode:
                    # Its dictionary has gone, or can't be read.
                    if self._request.startedWriting or self._writer.gone:
                        raise
            await self._send(bundle, digest, self._choose(digest.sha256, None))
        finally:
            if base is not None:
                base.bundle.release()

    async def _find_base(self) -> _Base | None:
        """The dictionary that the client has, where it may be used. It is retained."""
        served = self._served
        if not (
            served.with_dictionaries
            and names_coding(self._field("accept-encoding"), DCZ)
            and self._field("range") is None
        ):
            return None
        sha256 = read_available_dictionary(self._field("available-dictionary"))
        if sha256 is None:
            return None
        bundle = await served.cache.base(self._target.session_hash, sha256)
        if bundle is None:
            return None
        if (await bundle.digest()).size not in DICTIONARY_BYTES:
            bundle.release()
            return None
        return _Base(bundle, sha256)

    def _choose(self, sha256: str, base: _Base | None) -> _Representation:
        coding = preferred_coding(self._field("accept-encoding"), None if base is None else DCZ)
        if coding is None:
            raise BadRequest(
                406, f"Accept-Encoding leaves none of what there is: {', '.join(PREFERENCE)}"
            )
        if coding == IDENTITY:
            return _Representation(coding, f'"{sha256}"', None)
        if coding != DCZ or base is None:
            return _Representation(coding, f'"{sha256}-{coding}"', None)
        return _Representation(coding, f'"{sha256}-{tag_of_dictionary(base.sha256)}"', base)

    async def _send(self, bundle: Bundle, digest: Digest, form: _Representation) -> None:
        status = failed_precondition(
            form.etag, self._field("if-match"), self._field("if-none-match")
        )
        if status == HTTPStatus.PRECONDITION_FAILED:
            raise BadRequest(status, "If-Match names none of this bundle's entity tags")
        # Coding may be much work, and is of no use once the client has left.
        path = None if status or self._writer.gone else await _file(bundle, form)
        if self._writer.gone:
            return
        prefix = b"/" + b"/".join(self._request.prepath or [])
        latest = f"{prefix.decode('ascii')}/{self._target.session_id}"
        fields = {
            "etag": form.etag,
            "cache-control": self._target.cache_control(self._private),
            "content-location": f"{latest}/{digest.sha256}",
        }
        if path is None:
            self._set(HTTPStatus.NOT_MODIFIED, fields)
            self._writer.finish()
            self._served.downloads.unchanged += 1
            return
        fields["content-type"] = "text/javascript; charset=utf-8"
        if form.base is None:
            fields["accept-ranges"] = "bytes"
        if form.coding != IDENTITY:
            fields["content-encoding"] = form.coding
        if self._served.with_dictionaries:
            # The code is one, whatever coding it comes in.
            if self._request.method == b"GET":
                self._served.cache.lend(bundle)
            if self._target.sha256 is not None and digest.size in DICTIONARY_BYTES:
                fields["use-as-dictionary"] = write_use_as_dictionary(latest)
        await self._send_file(path, fields, form.coding, digest.size)

    async def _send_file(
        self, path: Path, fields: dict[str, str], coding: str, code_bytes: int
    ) -> None:
        reactor, request = self._served.reactor, self._request
        file = await in_thread(reactor, path.open, "rb", 0)
        try:
            size = os.fstat(file.fileno()).st_size
            part = self._part(fields["etag"], size)
            status = HTTPStatus.OK
            if part is not None:
                status = HTTPStatus.PARTIAL_CONTENT
                fields["content-range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
                fields.pop("use-as-dictionary", None)
            span = range(size) if part is None else part
            fields["content-length"] = str(len(span))
            self._set(status, fields)
            if request.method != b"HEAD":
                await send_file(file.fileno(), span, self._writer, reactor)
                if self._writer.gone:
                    self._served.downloads.aborted += 1
                else:
                    saved_bytes = code_bytes - size if part is None else 0
                    self._served.downloads.count_sent(coding, saved_bytes)
        finally:
            file.close()
        self._writer.finish()

    def _part(self, etag: str, size: int) -> range | None:
        """The bytes to send; None for all. RFC 9110 has ranges with GET only.

        :raises BadRequest: 416.
        """
        request = self._request
        if request.method != b"GET" or not range_applies(etag, self._field("if-range")):
            return None
        try:
            return requested_range(self._field("range"), size)
        except NotSatisfiable as wrong:
            request.setHeader(b"content-range", f"bytes */{size}".encode())
            raise BadRequest(416, str(wrong)) from None

    def _field(self, name: str) -> str | None:
        return joined_field(self._request, name)

    def _set(self, status: HTTPStatus, fields: dict[str, str]) -> None:
        self._request.setResponseCode(status, status.phrase.encode())
        for name, value in fields.items():
            self._request.setHeader(name.encode(), value.encode())


async def _file(bundle: Bundle, form: _Representation) -> Path:
    if form.base is None:
        return await bundle.code(form.coding)
    dictionary = CodeFile(await form.base.bundle.code(IDENTITY), form.base.sha256)
    return await bundle.code(form.coding, dictionary)


def joined_field(request: Request, name: str) -> str | None:
    """The value of a header field, with all of its lines joined."""
    lines = request.requestHeaders.getRawHeaders(name.encode())
    return b", ".join(lines).decode("latin-1") if lines else None
