#!/usr/bin/env node
// What a save costs on the wire, whole and as a patch. See USAGE.

import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { WebSocket } from 'ws';
import { connectCli, connectPhone } from '../index.js';

const USAGE = `Usage: node ops/clients/js/examples/sizes.mjs ws://RELAY:PORT [OLD NEW]

Sends two builds of a bundle through a relay, from a CLI to two phones, and prints the bytes that the
second one takes on each way, with all of WebSocket's framing: first as a CLI and phones send and take
bundles that know no patches, then with patches.

  OLD NEW  two builds of your own app; without, 6 MB of made code in which a line is changed

Needs npm's ws: npm ci --ignore-scripts in ops/clients/js. The relay needs its spool, which it has unless
--spool-dir says otherwise. Sessions that nobody else has are used.
`;

const PATIENCE_MS = 60_000;
const LINES = 100_000;

/** Code as Metro makes it: a number at its end changes with each build. */
function madeCode(build) {
  const lines = [];
  for (let n = 0; n < LINES; n += 1) {
    const name = ((n * 2654435761) % 4294967296).toString(36);
    lines.push(`  exports.${name} = (0, _m${n % 613}.use${name.slice(0, 3)})(props.${name}, ${n});`);
  }
  if (build > 1) lines[LINES / 2] = "  console.log('saved');";
  return `${lines.join('\n')}\nglobal.BUNDLE_ID = ${build};\n`;
}

/** A TCP proxy in front of the relay that counts what passes it, either way, and knows what it failed at. */
function countingProxy(relay) {
  const counts = { up: 0, down: 0, failure: null };
  const target = new URL(relay.replace(/^ws/, 'http'));
  const server = createServer((client) => {
    const upstream = connect(Number(target.port) || 80, target.hostname);
    client.on('data', (data) => (counts.up += data.length));
    upstream.on('data', (data) => (counts.down += data.length));
    client.pipe(upstream).pipe(client);
    client.on('error', () => upstream.destroy());
    upstream.on('error', (error) => {
      counts.failure = error.message;
      client.destroy();
    });
  });
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const url = `ws://127.0.0.1:${server.address().port}`;
      resolve({ url, counts, close: () => server.close() });
    });
  });
}

function within(promise, what) {
  let timer = null;
  const late = new Promise((_, reject) => {
    const error = new Error(`${what}: nothing for ${PATIENCE_MS / 1000} s`);
    timer = setTimeout(() => reject(error), PATIENCE_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** ws without permessage-deflate, which iOS doesn't offer. */
class PlainWebSocket extends WebSocket {
  constructor(url, protocols, options = {}) {
    super(url, protocols, { ...options, perMessageDeflate: false });
  }
}

/** The bytes of the second bundle on each way: {cli, phone, plainPhone}. */
async function measure(relay, patch, before, after) {
  const session = `sizes-${randomBytes(8).toString('hex')}`;
  const ways = { cli: null, phone: null, plainPhone: null };
  for (const name of Object.keys(ways)) ways[name] = await countingProxy(relay);
  const clients = [];
  const got = new Map();
  const waiting = [];

  function phone(name, Socket) {
    const options = { url: ways[name].url, session, patch, deviceId: name, WebSocket: Socket };
    const onBundle = (code) => {
      got.set(name, code);
      waiting.splice(0).forEach((look) => look());
    };
    return new Promise((resolve, reject) => {
      const onState = (state, { ending }) => {
        if (state === 'open') resolve();
        if (!ending) return;
        const why = ways[name].counts.failure || ending.error || ending.reason || ending.code;
        reject(new Error(`no way to the relay: ${why}`));
      };
      clients.push(connectPhone({ ...options, onBundle, onState }));
    });
  }

  async function have(code) {
    const isThere = () => got.size === 2 && [...got.values()].every((one) => one === code);
    while (!isThere()) await new Promise((resolve) => waiting.push(resolve));
  }

  try {
    await within(Promise.all([phone('phone', WebSocket), phone('plainPhone', PlainWebSocket)]), 'joining');
    const cli = connectCli({ url: ways.cli.url, session, patch, WebSocket, resend: false });
    clients.push(cli);
    await within(Promise.all([cli.send(before), have(before)]), 'sending the first bundle');
    const start = Object.entries(ways).map(([name, { counts }]) => [name, { ...counts }]);
    await within(Promise.all([cli.send(after), have(after)]), 'sending the second');
    const bytes = {};
    for (const [name, { up, down }] of start) {
      const { counts } = ways[name];
      bytes[name] = name === 'cli' ? counts.up - up : counts.down - down;
    }
    return bytes;
  } finally {
    clients.forEach((client) => client.close());
    Object.values(ways).forEach((way) => way.close());
  }
}

async function main([relay, ...files]) {
  if (relay === '--help' || relay === '-h') {
    process.stdout.write(USAGE);
    return;
  }
  if (!/^ws:\/\//.test(relay ?? '') || ![0, 2].includes(files.length)) {
    process.stderr.write(USAGE);
    process.exitCode = 2;
    return;
  }
  const [before, after] = files.length
    ? files.map((file) => readFileSync(file, 'utf8'))
    : [madeCode(1), madeCode(2)];
  const measured = [];
  for (const [name, patch] of [['before', false], ['after', true]]) {
    measured.push([name, await measure(relay, patch, before, after)]);
  }
  console.log(`bytes on the wire of a bundle of ${Buffer.byteLength(after).toLocaleString('en')} bytes\n`);
  const row = (...cells) => console.log(cells.map((cell, i) => (i ? cell.padStart(22) : cell.padEnd(9))).join(''));
  row('', 'CLI to relay', 'to a phone, deflate', 'to a phone, plain');
  for (const [name, { cli, phone, plainPhone }] of measured) {
    row(name, ...[cli, phone, plainPhone].map((count) => count.toLocaleString('en')));
  }
}

main(process.argv.slice(2)).catch((error) => {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
});
