"""Plain clients of relays that share their sessions: for what takes few of them and no CPU."""

import contextlib
import json
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench_lib.processes import Failed

PING, PONG = 9, 10
GONE_S = 30.0
_AGAIN_S = 0.05


def connect(port: int, role: str, session: str) -> socket.socket | None:
    """A connection whose handshake is done; None where there is nobody, or the relay refused."""
    try:
        one = socket.create_connection(("127.0.0.1", port), timeout=GONE_S)
    except ConnectionRefusedError:
        return None
    one.sendall(
        f"GET /{role}/{session} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIGJlbmNoJ3Mga2V5IQ==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += one.recv(4096) or b"closed\r\n\r\n"
    if b" 101 " in answer.split(b"\r\n")[0]:
        return one
    one.close()
    return None


@contextmanager
def client(port: int, role: str, session: str) -> Iterator[socket.socket]:
    """One that is connected at once."""
    one = connect(port, role, session)
    if one is None:
        raise Failed(f"{role} was refused")
    with contextlib.closing(one):
        yield one


def connect_again(port: int, role: str, session: str) -> socket.socket:
    """Connect again and again, as a client without a delay of its own does, until it is let in."""
    until_s = time.monotonic() + GONE_S
    while time.monotonic() < until_s:
        one = connect(port, role, session)
        if one is not None:
            return one
        time.sleep(_AGAIN_S)
    raise Failed(f"{role} was not let in for {GONE_S:g} s")


def text_frame(text: bytes) -> bytes:
    """A masked text frame of up to 125 bytes, the mask being zeros."""
    return bytes([0x81, 0x80 | len(text)]) + bytes(4) + text


@contextmanager
def kept_alive(clients: list[socket.socket]) -> Iterator[None]:
    """Have clients answer pings. Relays drop those that don't."""
    over = threading.Event()
    unread = dict.fromkeys(clients, b"")
    selector = selectors.DefaultSelector()
    for one in clients:
        selector.register(one, selectors.EVENT_READ)

    def run() -> None:
        while not over.is_set():
            for key, _ in selector.select(0.5):
                one = key.fileobj
                unread[one] += one.recv(65536)
                unread[one] = answer_pings(one, unread[one])

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        selector.close()


def answer_pings(one: socket.socket, data: bytes) -> bytes:
    """Answer the pings among a relay's frames. Returns the rest: an incomplete frame."""
    while len(data) >= 2:
        length, head = data[1], 2
        if length == 126:
            length, head = int.from_bytes(data[2:4], "big"), 4
        if len(data) < head + length:
            break
        payload, opcode = data[head : head + length], data[0] & 0x0F
        data = data[head + length :]
        if opcode == PING:
            one.sendall(bytes([0x80 | PONG, 0x80 | length]) + bytes(4) + payload)
    return data


def until_heard(phone: socket.socket, cli: socket.socket) -> None:
    """Send little messages until one of them, none from before, has come."""
    mark = str(time.monotonic_ns())
    frame = text_frame(json.dumps({"type": "console_log", "mark": mark}).encode())
    until_s = time.monotonic() + GONE_S
    cli.settimeout(0.05)
    seen = b""
    while time.monotonic() < until_s:
        phone.sendall(frame)
        try:
            seen = (seen + cli.recv(65536))[-65536:]
        except TimeoutError:
            continue
        if mark.encode() in seen:
            return
    raise Failed(f"nothing passed for {GONE_S:g} s")
