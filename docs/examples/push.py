"""A CLI: sends a file as a bundle to the phones of a session, and waits for an acknowledgement.

Usage: push.py ws://HOST:PORT SESSION FILE
"""

import asyncio
import json
import sys
from pathlib import Path

from websockets.asyncio.client import connect

CHUNK_CHARS = 512 * 1024


def bundle(code: str) -> list[str]:
    """The messages that carry it: one, or a start and its chunks."""
    if len(code) <= CHUNK_CHARS:
        return [json.dumps({"type": "bundle_update", "payload": {"code": code}})]
    parts = [code[at : at + CHUNK_CHARS] for at in range(0, len(code), CHUNK_CHARS)]
    size = len(code.encode("utf-16-le")) // 2
    start = {"type": "bundle_start", "totalChunks": len(parts), "totalSize": size}
    messages = [json.dumps(start)]
    for index, part in enumerate(parts):
        chunk = {"type": "bundle_chunk", "index": index, "totalChunks": len(parts), "data": part}
        messages.append(json.dumps(chunk))
    return messages


async def push(relay: str, session: str, file: Path) -> bool:
    """Whether the phone could run it."""
    async with connect(f"{relay}/cli/{session}") as websocket:
        for text in bundle(file.read_text(encoding="utf-8")):
            await websocket.send(text)
        async for text in websocket:
            message = json.loads(text)
            print(f"received {message['type']}", flush=True)
            if message["type"] == "bundle_ack":
                return bool(message["success"])
    return False


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(push(sys.argv[1], sys.argv[2], Path(sys.argv[3]))) else 1)
