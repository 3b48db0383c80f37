"""A phone: joins a session, writes each bundle that it gets to a file, and acknowledges it.

Usage: phone.py ws://HOST:PORT SESSION FILE
"""

import asyncio
import json
import sys
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

LIMIT_BYTES = 64 * 1024 * 1024


async def play(relay: str, session: str, file: Path) -> None:
    url = f"{relay}/mobile/{session}?deviceId=example&name=Example&platform=android"
    # Reconnects after any close, with a growing pause.
    async for websocket in connect(url, max_size=LIMIT_BYTES):
        chunks: list[str] = []
        total = 0
        try:
            async for text in websocket:
                message = json.loads(text)
                kind = message.get("type")
                if kind == "bundle_update":
                    code = message["payload"]["code"]
                elif kind == "bundle_start":
                    chunks, total = [], message["totalChunks"]
                    continue
                elif kind == "bundle_chunk":
                    chunks.append(message["data"])
                    if len(chunks) < total:
                        continue
                    code = "".join(chunks)
                else:
                    print(f"received {kind}", flush=True)
                    continue
                file.write_text(code, encoding="utf-8")
                print(f"received a bundle of {len(code)} characters", flush=True)
                await websocket.send(json.dumps({"type": "bundle_ack", "success": True}))
        except ConnectionClosed as closed:
            print(f"closed: {closed}", flush=True)


if __name__ == "__main__":
    asyncio.run(play(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
