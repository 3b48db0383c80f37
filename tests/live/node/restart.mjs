// Sessions under load across a restart of their relay: `node restart.mjs URL SESSIONS CHARS`.
//
// Each session has a CLI, which sends bundle after bundle while its phone is there (those of every
// third one in chunks), and a phone, which acknowledges them. Both come back when they are closed.
// What a CLI believes sent is what ws says it has handed to the kernel. Prints a JSON object a
// line: {"event":"acked","count":…} now and then, {"event":"returned"} when each session has got a
// bundle through on a second connection of both. When its stdin ends it sends no more, and prints
// {"event":"done", …} when all that was believed sent has come, or nothing comes any more. A phone
// that hasn't begun a bundle gets a later one in its place, so on a busy machine one of the same
// connection counts as well: the last one of a connection has to come.

import { createHash, randomBytes } from 'node:crypto';
import WebSocket from 'ws';

const [url, count, chars] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const filler = randomBytes(chars).toString('base64').slice(0, chars);
const BACK_MS = 100;
const REST_MS = 200;
// A busy machine may bring nothing for some seconds.
const SETTLED_MS = 20000;
const CHUNKS = 4;

const troubles = [];
const codes = {};
let acked = 0;
let ending = false;
let lastNews = Date.now();

const say = (event, more = {}) => process.stdout.write(JSON.stringify({ event, ...more }) + '\n');
const digest = (text) => createHash('sha256').update(text).digest('hex');

const whole = (code) =>
  JSON.stringify({ type: 'bundle_update', payload: { code }, timestamp: Date.now() });

// As the CLI sends what is too much for one message, but smaller.
function inChunks(code) {
  const size = Math.ceil(code.length / CHUNKS);
  const start = { type: 'bundle_start', totalChunks: CHUNKS, totalSize: code.length };
  const chunks = Array.from({ length: CHUNKS }, (_, index) => {
    const data = code.slice(index * size, (index + 1) * size);
    return { type: 'bundle_chunk', index, totalChunks: CHUNKS, data };
  });
  return [{ ...start, timestamp: Date.now() }, ...chunks].map((one) => JSON.stringify(one));
}

class Session {
  constructor(n) {
    this.id = `LOAD${n}`;
    this.chunked = n % 3 === 0;
    this.parts = [];
    this.believed = new Map(); // number of a bundle -> hash of its code
    this.sentOn = new Map(); // number of a bundle -> number of the CLI's connection
    this.received = new Map();
    this.next = 0;
    this.connections = { cli: 0, mobile: 0 };
    this.phones = 0;
    this.busy = false;
    this.returned = false;
    this.open('mobile');
    this.open('cli');
  }

  open(role) {
    const ws = new WebSocket(`${url}/${role}/${this.id}`);
    this[role] = ws;
    let opened = false;
    ws.on('open', () => {
      opened = true;
      this.connections[role]++;
    });
    ws.on('unexpected-response', (request, response) => {
      troubles.push(`${role} refused with ${response.statusCode}`);
      request.destroy();
    });
    ws.on('error', (error) => troubles.push(`${role} ${opened ? 'lost' : 'refused'}: ${error.message}`));
    ws.on('message', (data) => this[`on_${role}`](JSON.parse(data.toString('utf8'))));
    ws.on('close', (code) => {
      if (ending) return;
      codes[code] = (codes[code] ?? 0) + 1;
      if (role === 'cli') this.phones = 0;
      setTimeout(() => this.open(role), BACK_MS);
    });
  }

  on_cli(message) {
    if (message.type === 'mobile_connected') this.phones++;
    if (message.type === 'mobile_disconnected') this.phones--;
    if (message.type === 'bundle_ack') {
      acked++;
      if (acked % 50 === 0) say('acked', { count: acked });
      if (!this.returned && this.connections.cli > 1 && this.connections.mobile > 1) {
        this.returned = true;
        if (sessions.every((session) => session.returned)) say('returned');
      }
    }
    this.push();
  }

  push() {
    if (this.busy || ending || this.phones < 1 || this.cli.readyState !== WebSocket.OPEN) return;
    this.busy = true;
    const number = this.next++;
    this.sentOn.set(number, this.connections.cli);
    const code = `${number}:${this.id}:${filler}`;
    const texts = this.chunked ? inChunks(code) : [whole(code)];
    Promise.all(texts.map((text) => this.send(text))).then((sent) => {
      if (sent.every(Boolean)) this.believed.set(number, digest(code));
      setTimeout(() => {
        this.busy = false;
        this.push();
      }, REST_MS * (0.5 + Math.random()));
    });
  }

  // Whether the kernel has it.
  send(text) {
    return new Promise((resolve) => this.cli.send(text, (error) => resolve(!error)));
  }

  on_mobile(message) {
    if (message.type === 'bundle_start') this.parts = [];
    if (message.type === 'bundle_chunk') this.parts.push(message.data);
    if (message.type === 'bundle_update') this.got(message.payload.code);
    if (message.type === 'bundle_chunk' && this.parts.length === message.totalChunks) {
      this.got(this.parts.join(''));
    }
  }

  got(code) {
    lastNews = Date.now();
    this.received.set(Number(code.split(':', 1)[0]), digest(code));
    this.mobile.send(JSON.stringify({ type: 'bundle_ack', success: true, timestamp: Date.now() }));
  }

  get lost() {
    return [...this.believed].filter(([number, sum]) => {
      if (this.received.has(number)) return this.received.get(number) !== sum;
      return !this.isSuperseded(number);
    });
  }

  isSuperseded(number) {
    const connection = this.sentOn.get(number);
    const later = [...this.received.keys()].filter((other) => other > number);
    return later.some((other) => this.sentOn.get(other) === connection);
  }
}

const sessions = Array.from({ length: count }, (_, n) => new Session(n));

function finish() {
  const lost = sessions.flatMap((session) => session.lost.map(([number]) => `${session.id}:${number}`));
  const sending = sessions.some((session) => session.busy);
  if ((lost.length || sending) && Date.now() - lastNews < SETTLED_MS) return setTimeout(finish, 50);
  const believed = sessions.reduce((sum, session) => sum + session.believed.size, 0);
  say('done', { believed, acked, lost, troubles, codes });
  process.exit(0);
}

process.stdin.resume();
process.stdin.on('end', () => {
  ending = true;
  finish();
});
