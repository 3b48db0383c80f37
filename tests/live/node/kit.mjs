// Clients of ops/clients/js in Node or Bun: node kit.mjs ws|own. `ws` is npm's, `own` the WebSocket that
// the program has itself. One JSON object a line on stdin and on stdout; see kit_players.js. The process
// leaves when its stdin ends.

import { createHash } from 'node:crypto';
import { createInterface } from 'node:readline';
import * as kit from '../../../ops/clients/js/index.js';
import { createPlayers } from './kit_players.js';

const report = (event) => process.stdout.write(JSON.stringify(event) + '\n');
const handle = createPlayers({
  kit,
  WebSocket: process.argv[2] === 'ws' ? (await import('ws')).WebSocket : undefined,
  sha256: async (code) => createHash('sha256').update(code, 'utf8').digest('hex'),
  report,
});

createInterface({ input: process.stdin, crlfDelay: Infinity })
  .on('line', (line) => handle(JSON.parse(line)))
  .on('close', () => process.exit(0));

report({ event: 'ready', version: process.versions.bun ?? process.version });
