"""AppTuner's clients, played by Node's ``ws``: the Python side of node/clients.mjs."""

import base64
import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred

from tests.live.processes import Child, Reply, within_patience

NODE_DIRECTORY = Path(__file__).resolve().parent / "node"
# Code that npm ships: 9,112,572 bytes of it.
TYPESCRIPT = NODE_DIRECTORY / "node_modules/typescript/lib/typescript.js"

T = TypeVar("T")


def missing() -> str | None:
    """Why the live tests can't run here, or None."""
    if shutil.which("node") is None:
        return "needs Node: ops/test installs it"
    if not TYPESCRIPT.exists() or not (NODE_DIRECTORY / "node_modules/ws").exists():
        return f"needs `npm ci` in {NODE_DIRECTORY}: ops/test does it"
    return None


@dataclass
class Code:
    """JavaScript as a client told it apart: UTF-16 units, and the hash of its UTF-8."""

    chars: int
    sha256: str


@dataclass
class Message:
    """What a client received."""

    index: int
    binary: bool
    bytes: int
    sha256: str
    text: str | None = None
    """The whole of it, if it's text of up to 8 KiB."""
    base64: str | None = None
    """Likewise, if it's binary."""
    type: str | None = None
    code: Code | None = None
    """Of a bundle: its code. With a bundle in chunks the last chunk has it."""
    chunk: Code | None = None
    chunk_index: int | None = None
    total_chunks: int | None = None
    total_size: int | None = None
    talk: tuple[str, int] | None = None
    """`from` and `n` of a message of type `talk`."""

    @property
    def data(self) -> Any:
        assert self.text is not None, f"not shown: {self}"
        return json.loads(self.text)


@dataclass
class Sent:
    """A bundle as its sender told it apart."""

    code: Code
    messages: int
    sha256: list[str]


class Place(Protocol):
    """Where clients connect to: a relay, or what stands before some."""

    def url(self, role: str, session: str, query: str = "") -> str: ...


class NodeClients:
    """One Node process that plays any number of clients of one relay."""

    def __init__(self, relay: Place) -> None:
        self._relay = relay
        self._clients: dict[int, Client] = {}
        self._requests: dict[int, Deferred[dict[str, Any]]] = {}
        self._ready: Deferred[None] = Deferred()
        self._child = Child(
            [shutil.which("node") or "node", str(NODE_DIRECTORY / "clients.mjs")],
            on_line=self._line,
        )
        self._child.over().addCallback(self._ended)

    async def ready(self) -> None:
        await within_patience(self._ready, lambda: repr(self._child))

    async def open(
        self, role: str, session: str, query: str = "", url: str | None = None, **options: Any
    ) -> "Client":
        """Connect. The welcome is still to be read. `options` are those of clients.mjs."""
        client = self.start(role, session, query, url, **options)
        await client.opened()
        return client

    async def join(
        self, role: str, session: str, query: str = "", url: str | None = None, **options: Any
    ) -> "Client":
        """Connect and read the welcome."""
        client = await self.open(role, session, query, url, **options)
        welcome = await client.next()
        assert welcome.type == "connected", welcome
        return client

    async def refused(
        self, role: str, session: str, query: str = "", url: str | None = None, **options: Any
    ) -> Reply:
        """Connect and be refused."""
        return await self.start(role, session, query, url, **options).refusal()

    def start(
        self, role: str, session: str, query: str = "", url: str | None = None, **options: Any
    ) -> "Client":
        """Begin to connect, whatever comes of it."""
        client = Client(self, len(self._clients), role)
        self._clients[client.id] = client
        url = url or self._relay.url(role, session, query)
        self._tell({"op": "open", "id": client.id, "url": url, "options": options})
        return client

    async def request(self, op: str, client_id: int, **parameters: Any) -> dict[str, Any]:
        ref = len(self._requests)
        answer: Deferred[dict[str, Any]] = Deferred()
        self._requests[ref] = answer
        self._tell({"op": op, "id": client_id, "ref": ref, **parameters})
        return await within_patience(answer, lambda: f"{op} of {self._clients[client_id]!r}")

    def _tell(self, request: dict[str, Any]) -> None:
        self._child.write_line(json.dumps(request))

    def _line(self, line: str) -> None:
        event = json.loads(line)
        kind = event.pop("event")
        if kind == "ready":
            self._ready.callback(None)
        elif kind == "done":
            self._requests[event.pop("ref")].callback(event)
        elif kind == "failed":
            self._requests[event["ref"]].errback(AssertionError(event["message"]))
        else:
            self._clients[event.pop("id")].happened(kind, event)

    def _ended(self, _: None) -> None:
        if not self._ready.called:
            self._ready.errback(AssertionError(f"Node did not start: {self._child!r}"))

    async def stop(self) -> None:
        """End the process, and with it the connections of all its clients."""
        await self._child.end()


@dataclass(repr=False, eq=False)
class Client:
    """A client that Node plays. Messages are read in the order in which they arrived."""

    node: NodeClients
    id: int
    role: str
    seen: list[Message] = field(default_factory=list)
    """Everything it received, read or not."""
    extensions: str = ""
    """What was negotiated (RFC 6455 §9.1)."""

    def __post_init__(self) -> None:
        self._read = 0
        self._is_open = False
        self._refusal: Reply | None = None
        self._close: tuple[int, str] | None = None
        self._pongs: list[str] = []
        self._is_all_sent = False
        self._errors: list[str] = []
        self._waiters: list[Deferred[None]] = []

    # What it does

    async def send(self, message: dict[str, Any] | str) -> None:
        """Send a JSON object, or text as it is."""
        text = message if isinstance(message, str) else json.dumps(message)
        await self._do("send", text=text)

    async def send_burst(self, messages: Iterable[dict[str, Any]]) -> None:
        """Send messages in one write, so that they arrive together."""
        await self._do("sendBurst", texts=[json.dumps(message) for message in messages])

    async def send_fragments(self, *parts: str) -> None:
        """Send one text message as several frames."""
        await self._do("sendFragments", parts=parts)

    async def send_binary(self, data: bytes) -> None:
        await self._do("sendBinary", base64=_base64(data))

    async def send_frame(self, opcode: int, payload: bytes, fin: bool = True) -> None:
        """Send a frame with any payload, such as text that isn't UTF-8."""
        await self._do("sendFrame", opcode=opcode, base64=_base64(payload), fin=fin)

    async def send_half(self, text: str, claim: int) -> None:
        """Send the beginning of a text message of `claim` bytes."""
        await self._do("sendHalf", text=text, claim=claim)

    async def push(self, file: Path, chunked: bool = False, **extra: Any) -> Sent:
        """Send a bundle as the CLI does. `extra` are fields of each of its messages."""
        return _sent(await self._do("sendBundle", file=str(file), chunked=chunked, extra=extra))

    async def push_filler(self, chars: int, chunked: bool = False, **extra: Any) -> Sent:
        """Send a bundle of this length."""
        return _sent(await self._do("sendFiller", chars=chars, chunked=chunked, extra=extra))

    async def start_filler(self, chars: int, chunked: bool = False) -> Code:
        """Begin to send a bundle of this length; `all_sent` when the kernel has taken it."""
        return Code(**(await self._do("startFiller", chars=chars, chunked=chunked))["code"])

    async def terminate(self) -> None:
        """The process dies: the connection ends without a close."""
        await self._do("terminate")

    async def reset(self) -> None:
        """The connection is reset."""
        await self._do("reset")

    async def pause(self) -> None:
        """Read nothing any more, answer nothing."""
        await self._do("pause")

    async def resume(self) -> None:
        await self._do("resume")

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Begin the closing handshake."""
        await self._do("close", code=code, reason=reason)

    async def ping(self, text: str) -> None:
        """Send a ping frame (not the wire's `ping` message)."""
        await self._do("ping", text=text)

    async def buffered(self) -> int:
        """How many bytes of what it sends the kernel has not taken."""
        return int((await self._do("buffered"))["bytes"])

    async def bytes_read(self) -> int:
        """How many bytes have come from the relay so far."""
        return int((await self._do("bytesRead"))["bytes"])

    async def bytes_arrived(self, count: int) -> None:
        """Wait until so many bytes have come from the relay since it connected, whole messages or
        not."""
        await self._do("bytesArrived", count=count)

    async def _do(self, op: str, **parameters: Any) -> dict[str, Any]:
        return await self.node.request(op, self.id, **parameters)

    # What happens to it

    async def next(self) -> Message:
        """The next message."""

        def look() -> Message | None:
            if self._read == len(self.seen):
                return None
            self._read += 1
            return self.seen[self._read - 1]

        return await self._until("a message", look)

    async def expect(self, kind: str) -> Message:
        """The next message of this type; what comes before it is passed over."""

        def look() -> Message | None:
            while self._read < len(self.seen):
                self._read += 1
                if self.seen[self._read - 1].type == kind:
                    return self.seen[self._read - 1]
            return None

        return await self._until(f"a {kind}", look)

    async def bundle(self) -> Message:
        """The next message that completes a bundle."""

        def look() -> Message | None:
            while self._read < len(self.seen):
                self._read += 1
                if self.seen[self._read - 1].code is not None:
                    return self.seen[self._read - 1]
            return None

        return await self._until("a bundle", look)

    async def take(self, count: int) -> list[Message]:
        """The next so many messages."""
        return [await self.next() for _ in range(count)]

    async def settle(self) -> list[Message]:
        """What came and was not read, up to the answer to a ping that is sent now."""
        await self.send({"type": "ping", "timestamp": 0})
        start = self._read
        pong = await self.expect("pong")
        return self.seen[start : pong.index]

    async def closed(self) -> tuple[int, str]:
        """Code and reason of its close."""
        return await self._until("a close", lambda: self._close, also_closed=True)

    async def opened(self) -> None:
        await self._until("an open connection", lambda: self._is_open or None)

    async def outcome(self) -> Reply | None:
        """How connecting ends: with a refusal, or None for an open connection."""
        await self._until("an outcome", lambda: self._refusal or self._is_open or None, True)
        return self._refusal

    async def refusal(self) -> Reply:
        return await self._until("a refusal", lambda: self._refusal, also_closed=True)

    async def pong(self) -> str:
        """The next pong frame's payload."""
        return await self._until("a pong", lambda: self._pongs.pop(0) if self._pongs else None)

    async def all_sent(self) -> None:
        await self._until("the end of sending", lambda: self._is_all_sent or None)

    @property
    def is_closed(self) -> bool:
        return self._close is not None

    def happened(self, kind: str, event: dict[str, Any]) -> None:
        if kind == "message":
            self.seen.append(_message(event))
        elif kind == "open":
            self._is_open = True
            self.extensions = event["extensions"]
        elif kind == "close":
            self._close = (event["code"], event["reason"])
        elif kind == "refused":
            self._refusal = Reply(event["status"], event["headers"], event["body"])
        elif kind == "pong":
            self._pongs.append(event["text"])
        elif kind == "sent":
            self._is_all_sent = True
        elif kind == "error":
            self._errors.append(event["message"])
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)

    async def _until(self, what: str, look: Callable[[], T | None], also_closed: bool = False) -> T:
        while (result := look()) is None:
            if self._close is not None:
                raise AssertionError(f"closed instead of {what}: {self!r}")
            if self._refusal is not None and not also_closed:
                raise AssertionError(f"refused instead of {what}: {self!r}")
            waiter: Deferred[None] = Deferred()
            self._waiters.append(waiter)
            await within_patience(waiter, lambda: f"Waited for {what}: {self!r}")
        return result

    def __repr__(self) -> str:
        seen = "\n  ".join(map(str, self.seen)) or "nothing"
        return (
            f"{self.role} {self.id}: open {self._is_open}, close {self._close}, "
            f"refusal {self._refusal}, errors {self._errors}, received\n  {seen}"
        )


def _message(event: dict[str, Any]) -> Message:
    for key in ("code", "chunk"):
        if key in event:
            event[key] = Code(**event[key])
    names = {
        "chunkIndex": "chunk_index",
        "totalChunks": "total_chunks",
        "totalSize": "total_size",
    }
    return Message(**{names.get(key, key): value for key, value in event.items()})


def _sent(answer: dict[str, Any]) -> Sent:
    return Sent(Code(**answer["code"]), answer["messages"], answer["sha256"])


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
