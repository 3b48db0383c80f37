#!/usr/bin/env bash
# PyPI brotli 1.2.0 against 1.0.9, Python 3.11.
#
# A Decompressor of brotli 1.1 and newer hands out about 32 KiB of what a flushed prefix
# decodes to in one process() call, even without output_buffer_limit, and says
# can_accept_more_data() all the same. Who feeds a stream as it arrives, and takes what process()
# returns for all that the bytes so far decode to, gets the rest only with the next bytes, or never
# when the sender pauses there. process(b"") brings more. 1.0.9 handed all of it out at once.
#
# Output seen:
#   1.0.9: 200000 of 200000 at once
#   1.2.0: 32752 of 200000 at once, can_accept_more_data() True, the rest by 6 calls with b""
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >try.py <<'PY'
import random
import sys

import brotli

rng = random.Random(1)
data = bytes(rng.choice(b"abcdefgh") for _ in range(200_000))
compressor = brotli.Compressor(quality=5)
prefix = compressor.process(data) + compressor.flush()
decompressor = brotli.Decompressor()
got = (getattr(decompressor, "process", None) or decompressor.decompress)(prefix)
line = f"{sys.argv[1]}: {len(got)} of {len(data)} at once"
if len(got) < len(data):
    line += f", can_accept_more_data() {decompressor.can_accept_more_data()}"
    calls = 0
    while len(got) < len(data) and calls < 100:
        got += decompressor.process(b"")
        calls += 1
    line += f', the rest by {calls} calls with b""'
assert got == data
print(line)
PY
for version in 1.0.9 1.2.0; do
    python3 -m venv "venv-$version"
    "venv-$version/bin/pip" install --quiet --disable-pip-version-check "brotli==$version"
    timeout 30 "venv-$version/bin/python" try.py "$version" | tee -a seen
done
diff - seen <<'TEXT'
1.0.9: 200000 of 200000 at once
1.2.0: 32752 of 200000 at once, can_accept_more_data() True, the rest by 6 calls with b""
TEXT
