"""What the load generator sends: a JavaScript bundle as the CLI wraps it, made from a fixed
seed, so that every run of the bench moves the same bytes."""

import json
import random
import re
import struct
import zlib
from pathlib import Path

BUNDLE_BYTES = 15_000_000
SMALLER_BYTES = 7_000_000
SMALL_BYTES = 100_000
CHUNK_CHARS = 512 * 1024
TIMESTAMP = 1_700_000_000_000
COMPRESSED = 1

NOUNS = re.findall(
    r"\w+",
    "user session screen route theme cart order price image cache socket query token layer "
    "gesture frame style colour height offset index buffer stream event handler callback state "
    "reducer action payload header footer button label input field form error message result",
)
VERBS = re.findall(
    r"\w+", "get set update remove render fetch parse merge create select toggle use"
)
TEXTS = (
    'Could not load \\"%s\\"',
    "Line one of %s\\nand line two",
    "C:\\\\app\\\\%s\\\\index",
    "[%s] expected a function",
    "\\t%s: ",
    "https://example.invalid/api/%s?page=1&size=20",
)


def scripts(directory: Path) -> dict[str, Path]:
    """The message files for the load generator by name, written if they are not there.

    A file holds, for each message: its length (32 bits, little-endian), a flag byte
    (1: compressed), the payload.
    """
    names = ("single", "chunks", "deflated", "smaller", "small")
    files = {name: directory / f"bundle-{name}.messages" for name in names}
    if all(file.exists() for file in files.values()):
        return files
    directory.mkdir(parents=True, exist_ok=True)
    code = _code(BUNDLE_BYTES)
    single = _whole(code)
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    deflated = packer.compress(single) + packer.flush(zlib.Z_SYNC_FLUSH)
    _write(files["single"], [single])
    _write(files["chunks"], _chunks(code))
    _write(files["small"], [_whole(_code(SMALL_BYTES))])
    _write(files["smaller"], [_whole(_code(SMALLER_BYTES))])
    _write(files["deflated"], [deflated.removesuffix(b"\x00\x00\xff\xff")], COMPRESSED)
    return files


def payload_bytes(file: Path) -> int:
    """The bytes of payload in a message file."""
    data = file.read_bytes()
    total = at = 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        total += length
        at += 5 + length
    return total


def _message(**fields: object) -> bytes:
    """Printed as JavaScript's JSON.stringify prints it, so that parsing and printing it
    again gives the same bytes."""
    return json.dumps(fields, separators=(",", ":")).encode("ascii")


def _whole(code: str) -> bytes:
    return _message(type="bundle_update", payload={"code": code}, timestamp=TIMESTAMP)


def _chunks(code: str) -> list[bytes]:
    pieces = [code[at : at + CHUNK_CHARS] for at in range(0, len(code), CHUNK_CHARS)]
    total = len(pieces)
    start = _message(
        type="bundle_start", totalChunks=total, totalSize=len(code), timestamp=TIMESTAMP
    )
    return [start] + [
        _message(type="bundle_chunk", index=i, totalChunks=total, data=piece)
        for i, piece in enumerate(pieces)
    ]


def _write(file: Path, messages: list[bytes], flag: int = 0) -> None:
    partial = file.with_suffix(".partial")
    with partial.open("wb") as out:
        for message in messages:
            out.write(struct.pack("<IB", len(message), flag))
            out.write(message)
    partial.rename(file)


def _code(message_bytes: int) -> str:
    """ASCII source in the manner of a Metro bundle, cut so that the `bundle_update` message
    that carries it has about `message_bytes` bytes."""
    random_ = random.Random(3)
    modules: list[str] = []
    size = number = 0
    while size < message_bytes:
        module = _module(random_, number)
        modules.append(module)
        size += len(json.dumps(module)) - 2
        number += 1
    code = "".join(modules)
    return code[: len(code) * message_bytes // size]


def _module(random_: random.Random, number: int) -> str:
    def name() -> str:
        return random_.choice(VERBS) + random_.choice(NOUNS).title() + random_.choice(NOUNS).title()

    lines = ["__d(function(g,r,i,a,m,e,d){'use strict';\n"]
    exports = []
    for _ in range(random_.randint(3, 12)):
        function, one, two = name(), random_.choice(NOUNS), random_.choice(NOUNS)
        text = random_.choice(TEXTS) % random_.choice(NOUNS)
        exports.append(function)
        lines.append(
            f"  function {function}({one}, {two}Ref) {{\n"
            f"    const {name()} = r(d[{random_.randrange(40)}]).{name()};\n"
            f'    if (!{one} || {one}.{random_.choice(NOUNS)} === "{text}") {{\n'
            f"      return {name()}({random_.randrange(100000)}, {two}Ref.current);\n"
            f"    }}\n"
            f"    {two}Ref.{random_.choice(NOUNS)} = 0x{random_.getrandbits(32):08x};\n"
            f"    return [{one}, {{ key: '{random_.getrandbits(104):x}' }}];\n"
            f"  }}\n"
        )
    lines.extend(f"  e.{export} = {export};\n" for export in exports)
    depends = ",".join(str(random_.randrange(9000)) for _ in range(random_.randint(1, 9)))
    lines.append(f"}},{number},[{depends}]);\n")
    return "".join(lines)
