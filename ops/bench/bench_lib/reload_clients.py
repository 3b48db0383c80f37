"""A CLI and a phone that reload: over plain, blocking sockets, with permessage-deflate (RFC 7692)
where that is wanted. They count the bytes of their connections."""

import hashlib
import json
import os
import socket
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from apptuner_relay.client.patched_code import patched_code
from apptuner_relay.spool.code.patch_making import make_patch
from apptuner_relay.wire.bundle_patch import build_patch

from .processes import Failed

HOST = "127.0.0.1"
TIMEOUT_S = 60
CHUNK_UNITS = 512 * 1024
"""As AppTuner's CLI does it."""
_LEAST_DEFLATED_BYTES = 1024
"""Shorter messages go plain, as with ws."""
_EXTENSION = "permessage-deflate; client_no_context_takeover; server_no_context_takeover"
_TEXT, _PING, _PONG, _DEFLATED = 1, 9, 10, 0x40
_END_OF_DEFLATED = b"\0\0\xff\xff"

Message = dict[str, Any]


class DeflatingClient:
    """A WebSocket connection whose handshake is done.

    :param deflates: whether it offers permessage-deflate.
    """

    def __init__(self, port: int, path: str, deflates: bool) -> None:
        self.sent_bytes = self.received_bytes = 0
        """Over the wire, with headers."""
        self._socket = socket.create_connection((HOST, port), timeout=TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        self._message: list[bytes] = []
        self._is_deflated = False
        extension = f"Sec-WebSocket-Extensions: {_EXTENSION}\r\n" if deflates else ""
        key = "dGhlIGJlbmNoJ3Mga2V5IQ=="
        self._write(
            f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            f"{extension}Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        while (stop := self._buffer.find(b"\r\n\r\n")) < 0:
            self._receive()
        head = bytes(self._buffer[:stop]).lower()
        del self._buffer[: stop + 4]
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise Failed(f"{path.split('/')[1]} was refused: {head[:200]!r}")
        self._deflates = deflates
        if deflates and b"permessage-deflate" not in head:
            raise Failed("the relay agrees to no compression")

    def say(self, text: bytes) -> None:
        """Send a message."""
        opcode = _TEXT
        if self._deflates and len(text) >= _LEAST_DEFLATED_BYTES:
            deflater = zlib.compressobj(wbits=-15)
            text = deflater.compress(text) + deflater.flush(zlib.Z_SYNC_FLUSH)
            text, opcode = text.removesuffix(_END_OF_DEFLATED), opcode | _DEFLATED
        self._write(_frame(opcode, text))

    def messages(self) -> Iterator[Message]:
        """What comes, for ever."""
        while True:
            while (text := self._next()) is not None:
                yield json.loads(text)
            self._receive()

    def wait_for(self, kind: str) -> Message:
        """Wait for a message of a ``type``, and drop those before it."""
        return next(one for one in self.messages() if one["type"] == kind)

    def close(self) -> None:
        """End it without a word."""
        self._socket.close()

    def _write(self, data: bytes) -> None:
        self.sent_bytes += len(data)
        self._socket.sendall(data)

    def _receive(self) -> None:
        block = self._socket.recv(1 << 18)
        if not block:
            raise Failed("a connection was closed")
        self.received_bytes += len(block)
        self._buffer += block

    def _next(self) -> bytes | None:
        """The next message that is there whole."""
        data = self._buffer
        while len(data) >= 2:
            begin = {126: 4, 127: 10}.get(data[1], 2)
            size = data[1] if begin == 2 else int.from_bytes(data[2:begin], "big")
            if len(data) < begin + size:
                break
            first, payload = data[0], bytes(data[begin : begin + size])
            del data[: begin + size]
            opcode = first & 0x0F
            if opcode == _PING:
                self._write(_frame(_PONG, payload))
            if opcode > _TEXT:
                continue
            if opcode:
                self._is_deflated = bool(first & _DEFLATED)
            self._message.append(payload)
            if first & 0x80:
                text, self._message = b"".join(self._message), []
                if self._is_deflated:
                    return zlib.decompressobj(wbits=-15).decompress(text + _END_OF_DEFLATED)
                return text
        return None


def _frame(opcode: int, payload: bytes) -> bytes:
    """A client's frame, with a mask that changes nothing."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 1 << 16:
        length = b"\xfe" + size.to_bytes(2, "big")
    else:
        length = b"\xff" + size.to_bytes(8, "big")
    return bytes([0x80 | opcode]) + length + bytes(4) + payload


class ReloadCli:
    """A CLI that sends bundles whole, in chunks, or as patches of the last one."""

    def __init__(self, port: int, session: str, patches: bool) -> None:
        query = "?patch=1" if patches else ""
        self.client = DeflatingClient(port, f"/cli/{session}{query}", True)
        self.client.wait_for("connected")
        self._patches = patches
        self._last: tuple[bytes, str] | None = None

    def send_whole(self, code: str) -> None:
        """Send a bundle as AppTuner's CLI does."""
        count = -(-len(code) // CHUNK_UNITS)
        start = {"type": "bundle_start", "totalChunks": count, "totalSize": len(code)}
        self._say(start)
        for index in range(count):
            data = code[index * CHUNK_UNITS : (index + 1) * CHUNK_UNITS]
            self._say({"type": "bundle_chunk", "index": index, "totalChunks": count, "data": data})

    def send_patch(self, code: str) -> None:
        """Send what has changed since the last bundle that was `settled`.

        :raises TooDifferent: that can't be told.
        """
        assert self._last is not None
        base, base_sha256 = self._last
        new = code.encode()
        sha256 = hashlib.sha256(new).hexdigest()
        patch = make_patch(base, base_sha256, new, sha256, time.monotonic)
        self.client.say(build_patch(patch, int(time.time() * 1000)))

    def settled(self, code: str) -> None:
        """Wait until the relay keeps what was sent, where it says so."""
        if self._patches:
            new = code.encode()
            self._last = new, hashlib.sha256(new).hexdigest()
            for one in self.client.messages():
                if one["type"] == "bundle_wanted":
                    raise Failed(f"the relay refuses a patch: {one['reason']}")
                if one["type"] == "bundle_kept":
                    break

    def _say(self, message: Mapping[str, object]) -> None:
        self.client.say(json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode())


class ReloadPhone:
    """A phone that takes bundles whole or, with ``patches``, as patches of what it has."""

    def __init__(self, port: int, session: str, patches: bool, deflates: bool) -> None:
        query = "?patch=1" if patches else ""
        self.client = DeflatingClient(port, f"/mobile/{session}{query}", deflates)
        self.client.wait_for("connected")
        self._patches = patches
        self._code: bytes | None = None
        self._sha256: str | None = None

    def take(self, got: Callable[[str], None]) -> str:
        """Wait for the next bundle. Returns the type of the message that it ended with.

        :param got: called with the text as soon as the phone has it.
        """
        parts: list[str] = []
        for one in self.client.messages():
            kind = one["type"]
            if kind == "bundle_patch":
                self._code = patched_code(one, self._code, self._sha256)
                self._sha256 = one["sha256"]
                got(self._code.decode())
                return kind
            if kind == "bundle_chunk":
                parts.append(one["data"])
            if kind == "bundle_update":
                parts = [one["payload"]["code"]]
            if kind == "bundle_update" or (parts and len(parts) == one.get("totalChunks")):
                text = "".join(parts)
                got(text)
                if self._patches:
                    self._code = text.encode()
                    self._sha256 = self.client.wait_for("bundle_id")["sha256"]
                return kind
        raise AssertionError("messages never end")


def session_name() -> str:
    """A new session's id."""
    return "BENCH" + os.urandom(4).hex().upper()
