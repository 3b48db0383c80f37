"""What the clients of the soak do: each scenario is a short life of one session, with an end that
can be told. Blocking, on raw sockets, several of them at once in threads."""

import hashlib
import http.client
import random
import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from apptuner_relay.wire.frames import BINARY, CLOSE, COMPRESSED, CONTINUATION, PING, TEXT
from tests.live.conformance.case import chops, closing, unmasked
from tests.live.conformance.peer import Message, Peer, Trouble, turn_until
from tests.live.processes import PATIENCE_S
from tests.memory import deflated, masked

STALL_TIMEOUT_S = SLOW_TIME_S = 6
"""Long enough that no client of ours exceeds them because the machine is busy."""
BUNDLE_TTL_S = 15
MAX_MESSAGE_BYTES = 8 * 1024 * 1024
RELAY_OPTIONS = (
    "--stall-timeout", str(STALL_TIMEOUT_S), "--slow-time", str(SLOW_TIME_S),
    "--bundle-ttl", str(BUNDLE_TTL_S), "--max-message", str(MAX_MESSAGE_BYTES),
)  # fmt: skip

_DEFLATE = "permessage-deflate; client_max_window_bits"
_MOST_BYTES = 2_000_000
_CHUNK_BYTES = 200_000
_OPENING = b'{"type":"bundle_update","payload":{"code":"'
_PING = masked(TEXT, b'{"type":"ping","timestamp":0}')
_PONG = b'{"type":"pong"'
_BUNDLES = (b'{"type":"bundle_update"', b'{"type":"bundle_start"', b'{"type":"bundle_chunk"')
_TEXT = "".join(random.Random(7).choices("abcdefgh(){};=+ étx€", k=400_000))
_REFUSED = (400, 403, 404, 405, 413, 426)


class Life:
    """One worker's sessions, one after the other.

    :param rng: decides everything but the time that things take.
    """

    def __init__(self, port: int, worker: int, rng: random.Random) -> None:
        self.port = port
        self.tally: Counter[str] = Counter()
        self._rng = rng
        self._worker = worker
        self._count = 0
        self.session = ""

    def live(self) -> str:
        """Live through a scenario; returns its name.

        :raises Trouble: the relay broke a promise.
        """
        scenario = self._rng.choices(_SCENARIOS, _WEIGHTS)[0]
        self._live(scenario)
        self.tally["scenarios"] += 1
        return scenario.__name__

    def leave_a_record(self) -> None:
        """Live through a session of which the relay keeps a record.

        :raises Trouble: the relay broke a promise.
        """
        self._live(Life.save_twice)

    def _live(self, scenario: "Callable[[Life], None]") -> None:
        self._count += 1
        self.session = f"soak-{self._worker}-{self._count}"
        try:
            with ExitStack() as stack:
                self._stack = stack
                scenario(self)
        except Exception as trouble:
            raise Trouble(
                f"{scenario.__name__} in session {self.session}: {trouble!r}"
            ) from trouble

    # Scenarios

    def save_twice(self) -> None:
        """Two small bundles; the shortest session that is one."""
        phone, cli = self._phone(), self._cli()
        for _ in range(2):
            whole = self._bundle(300)
            had = len(phone.seen.messages)
            cli.send(masked(TEXT, whole))
            self._intact(phone, had, [whole], [cli])
        self._leave(cli, phone)

    def deliver(self) -> None:
        """A developer saves a few times; every phone gets everything."""
        phones = [self._phone() for _ in range(self._rng.randint(1, 3))]
        cli = self._cli()
        for _ in range(self._rng.randint(1, 3)):
            self._push(cli, phones)
        self._talk(cli, phones[0])
        self._leave(cli, *phones)

    def take_over(self) -> None:
        """A second CLI takes the first one's place."""
        phone, first = self._phone(), self._cli()
        second = self._cli()
        self._ended(first, 1000)
        self._push(second, [phone])
        self._leave(second, phone)

    def cli_dies(self) -> None:
        """In the middle of a bundle, which the phones have some of."""
        phones = [self._phone() for _ in range(self._rng.randint(1, 2))]
        cli = self._cli()
        whole = self._bundle(_MOST_BYTES)
        before = [phone.arrived_bytes for phone in phones]
        cli.answers_pings = False
        # Phones on iOS get it in pieces of 256 KiB.
        cli.send(masked(TEXT, whole)[: self._rng.randint(400_000, _MOST_BYTES - 1000)])
        self._turn(
            [cli, *phones],
            lambda: all(
                phone.arrived_bytes > had + 1000 for phone, had in zip(phones, before, strict=True)
            ),
            "the beginning of a bundle",
        )
        self._die(cli)
        self._cut(*phones)

    def phone_dies(self) -> None:
        """In the middle of a bundle; another one gets it all the same."""
        dying, phone, cli = self._phone(64 * 1024), self._phone(), self._cli()
        whole = self._bundle(_MOST_BYTES)
        had = len(phone.seen.messages)
        cli.send(masked(TEXT, whole))
        self._turn([cli, phone], lambda: phone.arrived_bytes > 10_000, "the beginning of a bundle")
        self._die(dying)
        self._intact(phone, had, [whole], [cli])
        self._leave(cli, phone)

    def phone_stalls(self) -> None:
        """It reads nothing while a bundle passes, and goes on or not."""
        stalled, phone, cli = self._phone(64 * 1024), self._phone(), self._cli()
        whole = self._bundle(_MOST_BYTES)
        had, had_stalled = len(phone.seen.messages), len(stalled.seen.messages)
        cli.send(masked(TEXT, whole))
        self._intact(phone, had, [whole], [cli])
        if self._rng.random() < 0.5:
            self._intact(stalled, had_stalled, [whole], [], may_be_cut=(1011, 1013))
        else:
            self._die(stalled)
        self._leave(cli, phone)

    def cli_stalls(self) -> None:
        """It stops in the middle of a bundle, until it is closed."""
        phone, cli = self._phone(), self._cli()
        had = phone.arrived_bytes
        cli.answers_close = cli.answers_pings = False
        cli.send(masked(TEXT, self._bundle(_MOST_BYTES))[:300_000])
        self._turn([cli, phone], lambda: phone.arrived_bytes > had + 1000, "half a bundle")
        # The phone reads on meanwhile: it has as long to answer its Close as the CLI.
        self._ended(cli, 1008, phone)
        self._cut(phone)

    def late_phone(self) -> None:
        """The laptop is closed when the phone comes, over the wire or HTTP."""
        cli = self._cli()
        whole = self._bundle(self._size())
        cli.send(self._wire(whole, cli))
        cli.send(_PING)
        self._pong(cli)
        self._leave(cli)
        phone = Peer(self.port, f"/mobile/{self.session}", self._offer())
        self._stack.callback(phone.socket.close)
        self._intact(phone, 0, [whole], [])
        self._download(whole)
        self._leave(phone)

    def lies(self) -> None:
        """A CLI that breaks the protocol is closed with the right code; the phone stays, unless it
        has half of a message."""
        phone, cli = self._phone(), self._cli()
        code, sends, unfinished, cuts = self._rng.choice(_LIES)
        cli.answers_close = not unfinished
        cli.send(*sends)
        self._turn([cli, phone], lambda: cli.seen.over, f"a close with {code}")
        _same("close code of a liar", cli.seen.close, code)
        self.tally["liars closed"] += 1
        if cuts:
            self._cut(phone)
            return
        phone.send(_PING)
        self._pong(phone)
        if self._rng.random() < 0.5:
            self._push(self._cli(), [phone])
        self._leave(phone)

    def strangers(self) -> None:
        """Connections that never become anything."""
        for _ in range(self._rng.randint(1, 6)):
            raw = socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)
            with raw:
                said = self._rng.choice(_STRANGE)
                raw.sendall(said[: self._rng.randint(0, len(said))])
                if self._rng.random() < 0.3:
                    raw.shutdown(socket.SHUT_WR)
                    try:
                        while raw.recv(65536):
                            pass
                    except ConnectionResetError:
                        pass
            self.tally["strangers"] += 1

    def asks(self) -> None:
        """What monitors and browsers ask for."""
        for path, method in self._rng.sample(_ASKED, 4):
            with self._http() as connection:
                connection.request(method, path)
                answer = connection.getresponse()
                answer.read()
                _same(f"{method} {path}", answer.status in (200, *_REFUSED), True)
        self.tally["requests"] += 4

    # What they are made of

    def _phone(self, receive_buffer: int | None = None) -> Peer:
        query = self._rng.choice(("", "?platform=ios", "?platform=android&name=Pixel"))
        return self._joined("mobile", query, receive_buffer)

    def _cli(self) -> Peer:
        return self._joined("cli", "", None)

    def _joined(self, role: str, query: str, receive_buffer: int | None) -> Peer:
        target = f"/{role}/{self.session}{query}"
        peer = Peer(self.port, target, self._offer(), receive_buffer=receive_buffer)
        self._stack.callback(peer.socket.close)
        self._turn([peer], lambda: bool(peer.seen.messages), "the welcome")
        self.tally["clients"] += 1
        return peer

    def _offer(self) -> str | None:
        return self._rng.choice((None, _DEFLATE))

    def _size(self) -> int:
        return int(10 ** self._rng.uniform(2.3, 6.3))

    def _bundle(self, size: int) -> bytes:
        start = self._rng.randrange(len(_TEXT))
        code = (_TEXT[start:] + _TEXT * (size // len(_TEXT) + 1))[:size]
        return _OPENING + code.encode() + b'"}}'

    def _wire(self, message: bytes, cli: Peer) -> bytes:
        """A message as this CLI may send it."""
        opcode, payload = TEXT, message
        if cli.extensions and self._rng.random() < 0.6:
            opcode, payload = TEXT | COMPRESSED, deflated(message, self._rng.choice((1, 6)))
        if self._rng.random() < 0.3 and len(payload) > 10:
            at = self._rng.randrange(1, len(payload))
            ping = masked(PING, b"between")
            return masked(opcode, payload[:at], False) + ping + masked(CONTINUATION, payload[at:])
        return masked(opcode, payload)

    def _push(self, cli: Peer, phones: list[Peer]) -> None:
        """A bundle, which all of the phones must get."""
        had = [len(phone.seen.messages) for phone in phones]
        size = self._size()
        if size > _CHUNK_BYTES and self._rng.random() < 0.5:
            parts = chops(self._bundle(size)[len(_OPENING) : -3], _CHUNK_BYTES)
            # A chunk of a string is a string: no character may be cut.
            texts = [part.decode(errors="ignore").encode() for part in parts]
            messages = [b'{"type":"bundle_start","totalChunks":%d,"totalSize":%d}'
                        % (len(texts), size)]  # fmt: skip
            messages += [b'{"type":"bundle_chunk","index":%d,"totalChunks":%d,"data":"%b"}'
                         % (i, len(texts), text) for i, text in enumerate(texts)]  # fmt: skip
        else:
            messages = [self._bundle(size)]
        for message in messages:
            cli.send(self._wire(message, cli))
        for phone, before in zip(phones, had, strict=True):
            self._intact(phone, before, messages, [cli, *(p for p in phones if p is not phone)])

    def _talk(self, cli: Peer, phone: Peer) -> None:
        """Logs of a phone, all of them and in order."""
        texts = [b'{"type":"console_log","n":%d}' % n for n in range(self._rng.randint(1, 200))]
        phone.send(b"".join(masked(TEXT, text) for text in texts))
        self._turn(
            [cli, phone], lambda: _of(cli, b'{"type":"console_log"') == texts, f"{len(texts)} logs"
        )
        self.tally["logs"] += len(texts)

    def _intact(
        self,
        phone: Peer,
        had: int,
        messages: list[bytes],
        others: list[Peer],
        may_be_cut: tuple[int, ...] = (),
    ) -> None:
        def got() -> list[Message]:
            return [m for m in phone.seen.messages[had:] if m.payload.startswith(_BUNDLES)]

        self._turn(
            [phone, *others],
            lambda: len(got()) >= len(messages) or phone.seen.close is not None or phone.seen.over,
            f"a bundle of {len(messages)} messages, {sum(map(len, messages))} bytes",
        )
        if len(got()) < len(messages):
            if phone.seen.close in may_be_cut:
                self.tally["bundles cut, as told"] += 1
                return
            raise Trouble(f"closed instead of a bundle: {phone.seen.close} {phone.seen.reason!r}")
        for come, sent in zip(got(), messages, strict=True):
            if come.payload != sent:
                digests = [hashlib.sha256(x).hexdigest()[:8] for x in (come.payload, sent)]
                raise Trouble(f"a bundle came changed: {digests}")
        self.tally["bundles intact"] += 1
        self.tally["bytes delivered"] += sum(map(len, messages))

    def _cut(self, *phones: Peer) -> None:
        """All of them are told that a bundle was cut short."""
        self._turn(list(phones), lambda: all(phone.seen.over for phone in phones), "a close")
        for phone in phones:
            _same("close code of a phone", phone.seen.close, 1011)
            _same("bundles after the cut", _of(phone, _OPENING), [])
            self.tally["bundles cut, as told"] += 1

    def _ended(self, peer: Peer, code: int, *others: Peer) -> None:
        """A connection ends, with that close code; ``others`` are read from meanwhile."""
        self._turn([peer, *others], lambda: peer.seen.over, f"a close with {code}")
        _same("close code", peer.seen.close, code)

    def _pong(self, peer: Peer) -> None:
        self._turn([peer], lambda: bool(_of(peer, _PONG)), "a pong")

    def _leave(self, *peers: Peer) -> None:
        """Some say goodbye and some just go."""
        for peer in peers:
            if self._rng.random() < 0.6:
                peer.close()
                self._ended(peer, 1000)
            else:
                self._die(peer)

    def _die(self, peer: Peer) -> None:
        if self._rng.random() < 0.5:
            peer.reset()
        else:
            peer.socket.close()
            peer.seen.over = True

    def _download(self, message: bytes) -> None:
        code = message[len(_OPENING) : -3]
        with self._http() as connection:
            connection.request("GET", f"/bundles/{self.session}")
            answer = connection.getresponse()
            body = answer.read()
        if answer.status != 200:
            raise Trouble(f"a download: {answer.status} {body!r} instead of the bundle")
        _same("a download", hashlib.sha256(body).digest(), hashlib.sha256(code).digest())
        self.tally["downloads"] += 1

    @contextmanager
    def _http(self) -> Iterator[http.client.HTTPConnection]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            yield connection
        finally:
            connection.close()

    @staticmethod
    def _turn(peers: list[Peer], done: Callable[[], bool], what: str) -> None:
        turn_until(peers, done, what)


def quiet(port: int, patience_s: float = PATIENCE_S) -> None:
    """Wait until the relay counts no client any more.

    :raises Trouble: it goes on counting some.
    """
    give_up_s = time.monotonic() + patience_s
    while True:
        health = _get(port, "/health")
        if b'"connections":0,' in health.replace(b" ", b""):
            return
        if time.monotonic() > give_up_s:
            raise Trouble(f"clients stay behind: {health!r}")
        time.sleep(0.1)


def kept_bundles(port: int) -> int:
    """How many the relay keeps now."""
    found = re.search(rb"^\S*spool_bundles (\d+)", _get(port, "/metrics"), re.MULTILINE)
    if found is None:
        raise Trouble("the metrics say nothing of kept bundles")
    return int(found[1])


def _get(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


def _of(peer: Peer, start: bytes) -> list[bytes]:
    return [m.payload for m in peer.seen.messages if m.payload.startswith(start)]


def _same(what: str, is_: object, should: object) -> None:
    if is_ != should:
        raise Trouble(f"{what}: {is_!r} instead of {should!r}")


_LIES: tuple[tuple[int, tuple[bytes, ...], bool, bool], ...] = (
    (1002, (masked(TEXT | 0x20, b"{}"),), False, False),
    (1002, (masked(3, b""),), False, False),
    (1002, (masked(PING, b"x" * 126),), False, False),
    (1002, (masked(CONTINUATION, b"x"),), False, False),
    (1002, (unmasked(TEXT, b"{}"),), False, False),
    (1002, (masked(CLOSE, b"x"),), False, False),
    (1002, (closing(1005),), False, False),
    (1007, (masked(TEXT, b'{"type":"\xff"}'),), False, False),
    (1007, (masked(TEXT, b'{"a":"' + b"x" * 300 + b"\xed\xa0", False),), True, False),
    (1009, (b"\x82\xff" + (1 << 40).to_bytes(8, "big") + bytes(4),), True, False),
    (
        1009,
        (masked(BINARY, bytes(MAX_MESSAGE_BYTES), False), masked(CONTINUATION, b"x")),
        False,
        True,
    ),
)
_STRANGE = (
    b"GET /cli/soak HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300),
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"POST /cli/soak HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + bytes(5000),
    b"GET /" + b"a" * 30_000,
    bytes(range(256)) * 8,
)
_ASKED = (
    ("/", "GET"), ("/health", "GET"), ("/health", "HEAD"), ("/ready", "GET"), ("/live", "GET"),
    ("/metrics", "GET"), ("/api/status", "GET"), ("/api/sessions", "GET"), ("/nothing", "GET"),
    ("/cli/soak", "GET"), ("/bundles/nobody", "GET"), ("/static/nothing", "GET"),
    ("/health", "DELETE"),
)  # fmt: skip
_SCENARIOS = (
    Life.deliver, Life.take_over, Life.cli_dies, Life.phone_dies, Life.phone_stalls,
    Life.cli_stalls, Life.late_phone, Life.lies, Life.strangers, Life.asks,
)  # fmt: skip
_WEIGHTS = (20, 6, 8, 8, 2, 1, 6, 12, 8, 6)
