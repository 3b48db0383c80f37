"""A TCP connection through a line that has a rate and a delay, each way: a proxy on the loopback,
in a process of its own.

A block leaves when the line has sent those before it, and arrives after the delay. When more than
`QUEUE_S` of the rate wait, no more is read, as where a router's queue is full. Nothing is lost.
"""

import asyncio
import contextlib
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from .processes import cores, free_port

HOST = "127.0.0.1"
QUEUE_S = 0.3
_BLOCK_BYTES = 16 * 1024


class Line:
    """When blocks leave a line of ``rate`` bytes a second, and arrive. Pure.

    :param delay_s: the delay one way.
    """

    def __init__(self, rate: float, delay_s: float) -> None:
        self._rate = rate
        self._delay_s = delay_s
        self._free_s = 0.0

    def arrival(self, size: int, now_s: float) -> float:
        """When a block arrives that is put in now."""
        self._free_s = max(self._free_s, now_s) + size / self._rate
        return self._free_s + self._delay_s

    def wait(self, now_s: float) -> float:
        """For how many seconds nothing more is to be put in."""
        return max(0.0, self._free_s - now_s - QUEUE_S)


@contextmanager
def paced_link(port: int, megabits: float, delay_s: float) -> Iterator[int]:
    """A line to ``port`` for the length of a `with`; gives the port at its other end.

    :param megabits: a second, each way.
    :param delay_s: the delay one way.
    """
    own, (here, there) = free_port(), multiprocessing.Pipe()
    process = multiprocessing.Process(
        target=_run, args=(there, own, port, megabits * 125_000, delay_s), daemon=True
    )
    process.start()
    try:
        here.recv()
        yield own
    finally:
        process.terminate()
        process.join()


def _run(ready: Connection, own: int, port: int, rate: float, delay_s: float) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.sched_setaffinity(0, {cores()[1]})
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_serve(ready, own, port, rate, delay_s))


async def _serve(ready: Connection, own: int, port: int, rate: float, delay_s: float) -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(HOST, port)
        await asyncio.gather(
            _pass(reader, far_writer, Line(rate, delay_s)),
            _pass(far_reader, writer, Line(rate, delay_s)),
        )

    server = await asyncio.start_server(accept, HOST, own)
    ready.send(None)
    async with server:
        await server.serve_forever()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: Line) -> None:
    loop = asyncio.get_running_loop()

    def arrive(block: bytes) -> None:
        if block:
            writer.write(block)
        elif not writer.is_closing():
            writer.close()

    block = b"?"
    with contextlib.suppress(ConnectionError):
        while block:
            block = await reader.read(_BLOCK_BYTES)
            now_s = loop.time()
            loop.call_at(line.arrival(len(block), now_s), arrive, block)
            if wait_s := line.wait(now_s):
                await asyncio.sleep(wait_s)
