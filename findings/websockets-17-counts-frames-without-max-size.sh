#!/usr/bin/env bash
# PyPI websockets 17.4, Python 3.11.
#
# A client with max_size=None, documented as "no limit", refuses a message of more than 4,096 frames
# with 1009, whatever their size: 4,097 frames of one byte are too many, 64 MiB in 4,096 frames are
# not. No parameter sets this limit, only the environment variable WEBSOCKETS_MAX_FRAGMENTS, which is
# read at import. A server that passes a big message on in the pieces in which it came (a slow uplink
# brings 1,400 bytes at a time) reaches it with 6 MB.
#
# Output seen:
#   4096 frames of 16384 bytes: 67092480 bytes arrived
#   4096 frames of 1 bytes: 4095 bytes arrived
#   4097 frames of 1 bytes: closed with 1009
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check websockets==17.4
cat >try.py <<'PY'
import asyncio

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


async def attempt(frames, size):
    async def handler(connection):
        async def pieces():
            # The library sends an empty frame of its own at the end.
            for _ in range(frames - 1):
                yield b"x" * size

        try:
            await connection.send(pieces())
            await connection.wait_closed()
        except ConnectionClosed:
            pass

    async with serve(handler, "127.0.0.1", 0, compression=None) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}", max_size=None, compression=None) as client:
            try:
                what = f"{len(await client.recv())} bytes arrived"
            except ConnectionClosed as closed:
                what = f"closed with {(closed.rcvd or closed.sent).code}"
            print(f"{frames} frames of {size} bytes: {what}")


async def main():
    await attempt(4096, 16384)
    await attempt(4096, 1)
    await attempt(4097, 1)


asyncio.run(main())
PY
timeout 100 venv/bin/python try.py | tee seen
diff - seen <<'TEXT'
4096 frames of 16384 bytes: 67092480 bytes arrived
4096 frames of 1 bytes: 4095 bytes arrived
4097 frames of 1 bytes: closed with 1009
TEXT
