// The clients of AppTuner, played by the library that the real CLI uses: one process plays any
// number of CLIs, dashboards, desktops and phones. tests/live/clients.py tells it what to do.
//
// It reads one JSON object a line from stdin, {"op": …, "id": …, …}, and prints one JSON object a
// line, {"event": …, "id": …, …}. A request that carries "ref" is answered by exactly one
// {"event": "done" | "failed", "ref": …}. What each client receives is reported as it arrives.
// The process leaves when its stdin ends.

import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import WebSocket from 'ws';

// As the CLI does: a bundle of more characters than this goes out in pieces of this many.
const CHUNK_CHARS = 512 * 1024;
// Longer messages are reported by length and hash alone.
const TEXT_SHOWN_BYTES = 8 * 1024;
const MAX_PAYLOAD_BYTES = 64 * 1024 * 1024;

const clients = new Map();

function report(event) {
  process.stdout.write(JSON.stringify(event) + '\n');
}

function sha256(data) {
  return createHash('sha256').update(data).digest('hex');
}

// How a string of JavaScript is told apart in a report: its length in UTF-16 units, as the wire's
// totalSize counts, and the hash of its UTF-8.
function fingerprint(code) {
  return { chars: code.length, sha256: sha256(Buffer.from(code, 'utf8')) };
}

class Client {
  constructor(
    id,
    url,
    { headers, perMessageDeflate = false, closeTimeout = 30000, ca, localAddress, keeps } = {},
  ) {
    this.id = id;
    this.received = 0;
    // A phone keeps its half-assembled chunks over a reconnect: those of the client `keeps`.
    this.chunks = keeps === undefined ? [] : clients.get(keeps).chunks;
    this.refused = false;
    this.ws = new WebSocket(url, {
      headers,
      perMessageDeflate,
      closeTimeout,
      ca,
      localAddress,
      maxPayload: MAX_PAYLOAD_BYTES,
    });
    this.ws.on('open', () => this.say('open', { extensions: this.ws.extensions }));
    this.ws.on('unexpected-response', (request, response) => {
      this.refused = true;
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('end', () => {
        this.say('refused', {
          status: response.statusCode,
          headers: response.headers,
          body: Buffer.concat(parts).toString('utf8'),
        });
        request.destroy();
      });
    });
    this.ws.on('message', (data, binary) => this.onMessage(data, binary));
    this.ws.on('pong', (data) => this.say('pong', { text: data.toString('utf8') }));
    this.ws.on('ping', () => this.say('ping'));
    this.ws.on('error', (error) => {
      // ws reports a refusal that somebody listens to as nothing, and its abort as an error.
      if (!this.refused) this.say('error', { code: error.code ?? null, message: error.message });
    });
    this.ws.on('close', (code, reason) => {
      this.say('close', { code, reason: reason.toString('utf8') });
    });
  }

  say(event, more = {}) {
    report({ event, id: this.id, ...more });
  }

  get socket() {
    return this.ws._socket;
  }

  onMessage(data, binary) {
    const index = this.received++;
    const what = { index, binary, bytes: data.length, sha256: sha256(data) };
    if (binary) {
      if (data.length <= TEXT_SHOWN_BYTES) what.base64 = data.toString('base64');
    } else {
      const text = data.toString('utf8');
      if (data.length <= TEXT_SHOWN_BYTES) what.text = text;
      this.look(text, what);
    }
    this.say('message', what);
  }

  look(text, what) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return;
    }
    if (message === null || typeof message !== 'object') return;
    if (typeof message.type === 'string') what.type = message.type;
    if (message.type === 'bundle_update' && typeof message.payload?.code === 'string') {
      what.code = fingerprint(message.payload.code);
    } else if (message.type === 'talk') {
      what.talk = [message.from, message.n];
    } else if (message.type === 'bundle_start') {
      this.chunks = [];
      what.totalChunks = message.totalChunks;
      what.totalSize = message.totalSize;
    } else if (message.type === 'bundle_chunk') {
      what.chunkIndex = message.index;
      what.chunk = fingerprint(message.data);
      this.chunks.push(message.data);
      if (this.chunks.length === message.totalChunks) {
        what.code = fingerprint(this.chunks.join(''));
        this.chunks = [];
      }
    }
  }

  // Resolves when the frame has been handed to the kernel.
  send(data, options = {}) {
    return new Promise((resolve, reject) => {
      this.ws.send(data, options, (error) => (error ? reject(error) : resolve()));
    });
  }

  write(bytes) {
    return new Promise((resolve, reject) => {
      this.socket.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
  }

  async sendCode(code, { chunked = false, extra = {} } = {}) {
    const timestamp = Date.now();
    const messages = [];
    if (chunked) {
      const total = Math.ceil(code.length / CHUNK_CHARS);
      messages.push({ type: 'bundle_start', totalChunks: total, totalSize: code.length, timestamp, ...extra });
      for (let index = 0; index < total; index++) {
        const start = index * CHUNK_CHARS;
        const data = code.slice(start, start + CHUNK_CHARS);
        messages.push({ type: 'bundle_chunk', index, totalChunks: total, ...extra, data });
      }
    } else {
      messages.push({ type: 'bundle_update', ...extra, payload: { code }, timestamp });
    }
    const texts = messages.map((message) => JSON.stringify(message));
    const sums = texts.map((text) => sha256(Buffer.from(text, 'utf8')));
    await Promise.all(texts.map((text) => this.send(text)));
    return { code: fingerprint(code), messages: texts.length, sha256: sums };
  }
}

// The header of a masked client frame that claims a payload of `length` bytes, and the payload
// (all of it, or its beginning) masked. Made by hand, because ws sends no broken frame.
function frame(opcode, payload, length = payload.length, fin = true) {
  let head;
  if (length < 126) {
    head = Buffer.alloc(2);
    head[1] = 0x80 | length;
  } else if (length < 65536) {
    head = Buffer.alloc(4);
    head[1] = 0x80 | 126;
    head.writeUInt16BE(length, 2);
  } else {
    head = Buffer.alloc(10);
    head[1] = 0x80 | 127;
    head.writeBigUInt64BE(BigInt(length), 2);
  }
  head[0] = (fin ? 0x80 : 0) | opcode;
  const mask = randomBytes(4);
  const masked = Buffer.from(payload);
  for (let i = 0; i < masked.length; i++) masked[i] ^= mask[i & 3];
  return Buffer.concat([head, mask, masked]);
}

// JavaScript of exactly `chars` ASCII characters that does not compress away.
const fillers = new Map();

function filler(chars) {
  if (!fillers.has(chars)) {
    const lines = [];
    for (let length = 0; length < chars; length += lines.at(-1).length) {
      lines.push('// ' + randomBytes(4096).toString('base64') + '\n');
    }
    fillers.set(chars, lines.join('').slice(0, chars));
  }
  return fillers.get(chars);
}

const operations = {
  open({ id, url, options }) {
    clients.set(id, new Client(id, url, options));
  },
  async send(client, { text }) {
    await client.send(text);
  },
  async sendBinary(client, { base64 }) {
    await client.send(Buffer.from(base64, 'base64'), { binary: true });
  },
  // Several messages in one write, so that they arrive together.
  async sendBurst(client, { texts }) {
    client.socket.cork();
    const sent = texts.map((text) => client.send(text));
    client.socket.uncork();
    await Promise.all(sent);
  },
  // A message in several frames: the relay must not take a fragment for a message.
  async sendFragments(client, { parts }) {
    await Promise.all(
      parts.map((part, i) => client.send(part, { fin: i === parts.length - 1 })),
    );
  },
  async sendBundle(client, { file, chunked, extra }) {
    return client.sendCode(readFileSync(file, 'utf8'), { chunked, extra });
  },
  async sendFiller(client, { chars, chunked, extra }) {
    return client.sendCode(filler(chars), { chunked, extra });
  },
  // Answers as soon as the code is made; "sent" follows when the kernel has taken all of it.
  startFiller(client, { chars, chunked, extra }) {
    const code = filler(chars);
    client.sendCode(code, { chunked, extra }).then(
      () => client.say('sent'),
      () => client.say('unsent'),
    );
    return { code: fingerprint(code) };
  },
  // The beginning of a text message that claims to be longer than what is sent of it.
  async sendHalf(client, { text, claim, fin = true }) {
    await client.write(frame(1, Buffer.from(text, 'utf8'), claim, fin));
  },
  async sendRaw(client, { base64 }) {
    await client.write(Buffer.from(base64, 'base64'));
  },
  // A well-formed frame around a payload that may be anything.
  async sendFrame(client, { opcode, base64, fin = true }) {
    const payload = Buffer.from(base64, 'base64');
    await client.write(frame(opcode, payload, payload.length, fin));
  },
  // The process of the client dies: the connection ends without a close frame.
  terminate(client) {
    client.socket.destroy();
  },
  // The machine of the client dies and comes back: the connection is reset.
  reset(client) {
    client.socket.resetAndDestroy();
  },
  // Reads nothing any more: it takes no message and answers no ping and no close.
  pause(client) {
    client.ws.pause();
  },
  resume(client) {
    client.ws.resume();
  },
  close(client, { code, reason }) {
    client.ws.close(code, reason);
  },
  ping(client, { text }) {
    client.ws.ping(text);
  },
  // What this side has not been able to hand to the kernel.
  buffered(client) {
    return { bytes: client.ws.bufferedAmount };
  },
  // How many bytes have come from the relay so far.
  bytesRead(client) {
    return { bytes: client.socket.bytesRead };
  },
  // Answers when this many bytes have come from the relay, whole messages or not.
  bytesArrived(client, { count }) {
    return new Promise((resolve, reject) => {
      const { socket } = client;
      const look = () => {
        if (socket.bytesRead < count) return;
        socket.off('data', look);
        resolve({ bytes: socket.bytesRead });
      };
      socket.on('data', look);
      socket.once('close', () => reject(new Error(`closed after ${socket.bytesRead} bytes`)));
      look();
    });
  },
};

async function handle(request) {
  const { op, ref } = request;
  const answer = ref === undefined ? () => {} : report;
  try {
    let result;
    if (op === 'open') {
      operations.open(request);
    } else {
      const client = clients.get(request.id);
      if (client === undefined) throw new Error(`no client ${request.id}`);
      result = await operations[op](client, request);
    }
    answer({ event: 'done', ref, ...result });
  } catch (error) {
    answer({ event: 'failed', ref, message: String(error?.message ?? error) });
  }
}

createInterface({ input: process.stdin, crlfDelay: Infinity })
  .on('line', (line) => {
    handle(JSON.parse(line));
  })
  .on('close', () => process.exit(0));

report({ event: 'ready', node: process.version });
