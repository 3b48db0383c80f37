// Clients that behave as AppTuner's released ones do when they are left alone: they come back after
// any close, a CLI answers every mobile_connected with a whole bundle, and a phone joins the chunks
// that it gets, by their numbers, and keeps them over a new connection.
//
// One process plays any number of them. It reads one JSON object a line from stdin, {"op": …,
// "id": …, …}, and prints one a line, {"event": …, "id": …, …}. It leaves when its stdin ends.

import { createInterface } from 'node:readline';
import WebSocket from 'ws';

const CHUNK_CHARS = 512 * 1024;
const CLI_PAUSE_MS = 5_000;
const PAGE_PAUSES_MS = [1_000, 30_000];
const PAGE_TRIES = 10;

const clients = new Map();

function report(event) {
  process.stdout.write(JSON.stringify(event) + '\n');
}

class Client {
  constructor({ id, url, headers }) {
    this.id = id;
    this.url = url;
    this.headers = headers;
    this.isStopped = false;
    this.connect();
  }

  connect() {
    const ws = new WebSocket(this.url, { perMessageDeflate: true, headers: this.headers });
    this.ws = ws;
    let isOpen = false;
    let status = 0;
    ws.on('open', () => {
      isOpen = true;
      this.opened();
      this.say('open');
    });
    ws.on('message', (data) => this.take(data.toString('utf8')));
    ws.on('error', ({ message }) => {
      status = Number(/response: (\d+)/.exec(message)?.[1] ?? 0);
    });
    ws.on('close', (code, reason) => {
      if (isOpen) this.say('close', { code, reason: reason.toString('utf8') });
      else this.say('refused', { status });
      const pause = this.isStopped ? null : this.pause();
      if (pause !== null) setTimeout(() => this.isStopped || this.connect(), pause);
    });
  }

  opened() {}

  take(text) {
    const message = JSON.parse(text);
    this.say('message', { type: message.type, text: text.length < 4096 ? text : null });
    this.heed(message);
  }

  heed() {}

  send(message) {
    this.ws.send(JSON.stringify(message));
  }

  stop() {
    this.isStopped = true;
    this.ws.close();
  }

  say(event, more = {}) {
    report({ event, id: this.id, ...more });
  }
}

class Cli extends Client {
  constructor(options) {
    super(options);
    this.bundleChars = options.bundleChars ?? 0;
    this.bundles = 0;
    this.work = Promise.resolve();
  }

  pause() {
    return CLI_PAUSE_MS;
  }

  heed({ type }) {
    if (type === 'mobile_connected' && this.bundleChars) this.bundle();
  }

  bundle() {
    this.work = this.work.then(() => this.sendBundle());
  }

  // Its code says whose it is, and which one. Between two chunks others get their turn.
  async sendBundle() {
    const name = `${this.id}.${++this.bundles};`;
    const code = name.repeat(Math.ceil(this.bundleChars / name.length)).slice(0, this.bundleChars);
    this.say('bundling', { name });
    const chunks = [];
    for (let at = 0; at < code.length; at += CHUNK_CHARS) chunks.push(code.slice(at, at + CHUNK_CHARS));
    const totalChunks = chunks.length;
    this.send({ type: 'bundle_start', totalChunks, totalSize: code.length, timestamp: Date.now() });
    for (const [index, data] of chunks.entries()) {
      await new Promise((resolve) => setImmediate(resolve));
      if (this.ws.readyState !== WebSocket.OPEN) return;
      this.send({ type: 'bundle_chunk', index, totalChunks, data });
    }
  }
}

class Page extends Client {
  opened() {
    this.tries = 0;
  }

  pause() {
    const [first, most] = PAGE_PAUSES_MS;
    this.tries = (this.tries ?? 0) + 1;
    return this.tries > PAGE_TRIES ? null : Math.min(most, first * 2 ** (this.tries - 1));
  }
}

class Phone extends Page {
  chunks = [];

  heed(message) {
    if (message.type === 'bundle_start') {
      this.chunks = new Array(message.totalChunks).fill(null);
    } else if (message.type === 'bundle_chunk') {
      this.chunks[message.index] = message.data;
      if (this.chunks.length === message.totalChunks && this.chunks.every((one) => one !== null)) {
        const names = [...new Set(this.chunks.join('').split(';').filter((one) => one.includes('.')))];
        this.chunks = [];
        // The last name may be cut off.
        const [name] = names;
        const isMixed = names.some((one) => !name.startsWith(one));
        this.say('bundle', { name: `${name};`, isMixed });
        this.send({ type: 'bundle_ack', success: true, timestamp: Date.now() });
      }
    }
  }
}

const KINDS = { cli: Cli, dashboard: Page, desktop: Page, mobile: Phone };

createInterface({ input: process.stdin, crlfDelay: Infinity })
  .on('line', (line) => {
    const request = JSON.parse(line);
    if (request.op === 'start') {
      clients.set(request.id, new KINDS[request.role](request));
      return;
    }
    const client = clients.get(request.id);
    if (request.op === 'stop') client.stop();
    else if (request.op === 'send') client.send(request.message);
    else if (request.op === 'bundle') client.bundle();
    else if (request.op === 'freeze') client.ws.pause();
    else if (request.op === 'thaw') client.ws.resume();
  })
  .on('close', () => process.exit(0));

report({ event: 'ready' });
