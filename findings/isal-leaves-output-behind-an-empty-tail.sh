#!/usr/bin/env bash
# PyPI isal 1.9.1, Python 3.11, x86_64.
#
# isal_zlib is offered as zlib's faster twin. zlib's way to inflate in bounded pieces is to call
# decompress(data, limit), and again with unconsumed_tail while there is one. isal takes input ahead
# into buffers of its own, so unconsumed_tail can be empty while up to tens of kilobytes of output are
# still to come: the loop ends early, without an error, and what it returns is cut. eof is False then,
# and decompress(b"") or flush() brings the rest. Data that compresses well shows it; random bytes
# come whole.
#
# Output seen (100,000 bytes, all the same, in pieces of 1,000):
#   zlib: the loop got 100000, eof True, flush brought 0
#   isal_zlib: the loop got 34000, eof False, flush brought 66000
#   isal_zlib, random bytes: the loop got 100000
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check isal==1.9.1
cat >try.py <<'PY'
import random
import zlib

from isal import isal_zlib


def inflate(decompressor, data):
    out = decompressor.decompress(data, 1000)
    while decompressor.unconsumed_tail:
        out += decompressor.decompress(decompressor.unconsumed_tail, 1000)
    return out


same = bytes(100_000)
for name, module in ("zlib", zlib), ("isal_zlib", isal_zlib):
    one = module.decompressobj()
    got, eof = inflate(one, zlib.compress(same)), one.eof
    rest = one.flush()
    assert got + rest == same
    print(f"{name}: the loop got {len(got)}, eof {eof}, flush brought {len(rest)}")
noise = random.Random(1).randbytes(100_000)
got = inflate(isal_zlib.decompressobj(), zlib.compress(noise))
print(f"isal_zlib, random bytes: the loop got {len(got)}")
PY
timeout 30 venv/bin/python try.py | tee seen
diff - seen <<'TEXT'
zlib: the loop got 100000, eof True, flush brought 0
isal_zlib: the loop got 34000, eof False, flush brought 66000
isal_zlib, random bytes: the loop got 100000
TEXT
