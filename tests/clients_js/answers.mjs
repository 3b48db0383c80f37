// Answers a line of JSON on its standard input with a line on its standard output, until the first ends.

import { createInterface } from 'node:readline';
import * as kit from '../../ops/clients/js/index.js';
import { sha256Hex } from '../../ops/clients/js/src/sha256.js';
import { answer } from './operations.js';

/** What hashes a text: this runtime as it is, its WebCrypto alone, and nothing. */
const PLATFORMS = { all: globalThis, web: { crypto: globalThis.crypto }, none: {} };

async function hashes(text) {
  const found = {};
  for (const [name, platform] of Object.entries(PLATFORMS)) {
    found[name] = await sha256Hex(text, platform).catch((error) => error.message);
  }
  return JSON.stringify(found);
}

createInterface({ input: process.stdin, crlfDelay: Infinity }).on('line', async (line) => {
  const { op, text } = JSON.parse(line);
  const answered = op === 'sha256' ? await hashes(text) : answer(kit, line);
  process.stdout.write(`${answered}\n`);
});
