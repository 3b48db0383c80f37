"""A little HTTP server for bundles, for tests: does what RFC 9110 says, or what it is told instead.

It answers whole requests with whole answers, as bytes, and says how much of one is to be sent. It
is not this project's, and shares no code with it.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import zstandard

try:
    from backports import zstd
except ImportError:
    zstd = None

ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": lambda code: gzip.compress(code, mtime=0),
    "zstd": lambda code: zstandard.compress(code),
}


def dcz(code: bytes, base: bytes) -> bytes:
    """RFC 9842: code that is coded against other code."""
    options = {
        zstd.CompressionParameter.checksum_flag: 1,
        zstd.CompressionParameter.window_log: 24,
        zstd.CompressionParameter.enable_long_distance_matching: 1,
    }
    prefix = zstd.ZstdDict(base, is_raw=True).as_prefix
    frame = zstd.compress(code, options=options, zstd_dict=prefix)
    return bytes.fromhex("5e2a4d1820000000") + hashlib.sha256(base).digest() + frame


def sha256(code: bytes) -> str:
    return hashlib.sha256(code).hexdigest()


@dataclass
class Request:
    """What was asked."""

    path: str
    fields: dict[str, str]

    @classmethod
    def of(cls, head: bytes) -> Request:
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines if line)
        return cls(first.split()[1], {name.lower(): value.strip() for name, _, value in pairs})


@dataclass
class Answer:
    """What is answered."""

    status: int
    body: bytes = b""
    fields: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    """Bytes of the body to be sent before the connection is closed; None for all."""
    hangs: bool = False
    """Leave the connection open, when it should be closed."""

    @classmethod
    def error(cls, status: int, text: str) -> Answer:
        return cls(status, json.dumps({"error": text}).encode())

    def head(self) -> bytes:
        fields = {"Content-Length": str(len(self.body)), "Connection": "close", **self.fields}
        lines = [f"{name}: {value}\r\n" for name, value in fields.items() if value]
        return f"HTTP/1.1 {self.status} Whatever\r\n{''.join(lines)}\r\n".encode("latin-1")


class BundleServer:
    """The bundles by their session, and what was asked for them.

    `twists` change answers, one each, in order; then answers are what they should be.
    """

    def __init__(self) -> None:
        self.latest: dict[str, bytes] = {}
        self.codings = ["zstd", "gzip"]
        self.bases: list[bytes] = []
        """The code against which more may come coded."""
        self.requests: list[Request] = []
        self.twists: list[Callable[[Answer], Answer]] = []

    def put(self, code: bytes, session: str = "ABC234") -> str:
        """Keep a bundle; returns its path."""
        self.latest[session] = code
        return f"/bundles/{session}/{sha256(code)}"

    def cut(self, *after: int) -> None:
        """Send so many bytes of the next bodies, and no more."""
        self.twists += [lambda answer, n=n: replace(answer, cut=n) for n in after]

    def refuse(self, status: int, text: str = "not today") -> None:
        self.twists.append(lambda _: Answer.error(status, text))

    def alter(self, **fields: str) -> None:
        """Other header fields in the next answer; an empty one is left out."""
        changes = {name.replace("_", "-"): value for name, value in fields.items()}
        self.twists.append(lambda answer: replace(answer, fields=answer.fields | changes))

    def say(self, code: bytes, session: str = "ABC234") -> dict[str, object]:
        """Keep a bundle; returns the body of its announcement."""
        return {"url": self.put(code, session), "sha256": sha256(code), "size": len(code)}

    def answer(self, head: bytes) -> Answer:
        request = Request.of(head)
        self.requests.append(request)
        answer = self._honest(request)
        return self.twists.pop(0)(answer) if self.twists else answer

    def _honest(self, request: Request) -> Answer:
        _, _, session, *digest = request.path.split("/")
        code = self.latest.get(session)
        if code is None or digest not in ([], [sha256(code)]):
            return Answer.error(404, "no such bundle is kept")
        accepted = request.fields.get("accept-encoding", "").split(", ")
        coding = next((c for c in self.codings if c in accepted), "identity")
        base = self._base_of(request) if "dcz" in accepted else None
        if base is not None:
            coding = f"dcz-{sha256(base)[:12]}"
        body = ENCODERS[coding](code) if base is None else dcz(code, base)
        etag = f'"{sha256(code)}{"" if coding == "identity" else f"-{coding}"}"'
        named = "" if coding == "identity" else coding.partition("-")[0]
        fields = {"ETag": etag, "Content-Encoding": named}
        if etag in request.fields.get("if-none-match", ""):
            return Answer(304, fields=fields)
        span = re.fullmatch(r"bytes=(\d+)-", request.fields.get("range", ""))
        if span and request.fields.get("if-range", etag) == etag:
            first = int(span[1])
            if first >= len(body):
                return Answer(416, fields={"Content-Range": f"bytes */{len(body)}"})
            fields["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
            return Answer(206, body[first:], fields)
        return Answer(200, body, fields)

    def _base_of(self, request: Request) -> bytes | None:
        field = request.fields.get("available-dictionary", "")
        hashes = {
            f":{base64.b64encode(hashlib.sha256(base).digest()).decode()}:": base
            for base in self.bases
        }
        return hashes.get(field)
