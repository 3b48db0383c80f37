// The clients of ops/chaos/run: CLIs, phones and pages as released ones behave, played by Node's ws.
//
// Orders come as JSON lines on standard input ({"op":…}), and what happens goes out as JSON lines
// ({"t": milliseconds, "ev":…}); chaos_lib/checker.py says what they must add up to. Every message
// names the connection that sent it and its number there, and carries the hash of the rest of it,
// so that one which is cut, mixed, repeated or out of order shows by itself.

import { createHash } from 'node:crypto';
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';

const require = createRequire(new URL('../../tests/live/node/package.json', import.meta.url));
const { WebSocket } = require('ws');

const CHUNK_CHARS = 512 * 1024;
const TALK_MS = 250;
const LOG_MS = 400;
// Released phones ping every 30 s and wait 5 s; a run of a minute has no time for that.
const PING_MS = 5000;
const PONG_MS = 5000;
// A released CLI comes back 5 s after any close; phones and pages begin with 1 s.
const BACK_MS = { cli: 5000, mobile: 1000, dashboard: 1000 };
const OPEN_TIMEOUT_MS = 8000;
const SLOW_READ_MS = 20;

function report(ev, what = {}) {
  process.stdout.write(JSON.stringify({ t: Date.now(), ev, ...what }) + '\n');
}

function sha256(text) {
  return createHash('sha256').update(text).digest('hex');
}

// A generator that a seed makes repeatable (mulberry32, in the public domain).
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

// The other half of the sessions' clients send and take patches, as those of the kit do.
function takesPatches(session) {
  return Number(/\d+$/.exec(session)?.[0] ?? 0) % 2 === 1;
}

let random = generator(1);
let relays = [];
let calm = false;
let connections = 0;
// The state of each session's project: how often it was saved. Its CLIs work on the same files.
const versions = new Map();
const people = new Map();

// Code of a given size: who sent it comes first, its own hash last. Half of it deflates well.
function makeCode(from, n, version, chars) {
  const head = `/*${JSON.stringify({ from, n, version })}*/`;
  const parts = [head];
  let length = head.length;
  while (length < chars) {
    const noise = Math.floor(random() * 1e15).toString(36);
    const line = `\nmodule(${length}, "${noise}", function () { return "the same in every line"; });`;
    parts.push(line);
    length += line.length;
  }
  const rest = parts.join('');
  return rest + sha256(rest);
}

// The next save of a code: another head and sum, and a line more or less in the middle. Returns the
// code, and the edits that lead to it.
function editCode(base, from, n, version) {
  const old = /^\/\*\{[^}]*\}\*\//.exec(base)[0];
  const head = `/*${JSON.stringify({ from, n, version })}*/`;
  const at = base.indexOf('\n', old.length + Math.floor(random() * (base.length - old.length - 64)));
  const middle = at < 0 || at > base.length - 64 ? base.length - 64 : at;
  const line = `\nlog("\u{1f6d2} ${n}");`;
  const rest = head + base.slice(old.length, middle) + line + base.slice(middle, -64);
  const sum = sha256(rest);
  const edits = [
    [0, old.length, head, old],
    [middle, middle, line],
    [base.length - 64, base.length, sum, base.slice(-64)],
  ];
  return { code: rest + sum, edits };
}

// What a patch makes of a code; null where it doesn't fit.
function applyPatch(code, patch) {
  const parts = [];
  let at = 0;
  for (const [start, end, text, old = ''] of patch.edits) {
    if (start < at || code.slice(start, end).slice(0, old.length) !== old) return null;
    parts.push(code.slice(at, start), text);
    at = end;
  }
  const made = parts.join('') + code.slice(at);
  return made.length === patch.units && sha256(made) === patch.sha256 ? made : null;
}

// Who sent a code, and whether it is whole and of one piece.
function readCode(code) {
  const rest = code.slice(0, -64);
  const whole = sha256(rest) === code.slice(-64);
  const head = /^\/\*(\{[^}]*\})\*\//.exec(code);
  return { from: null, n: 0, ...(head ? JSON.parse(head[1]) : {}), whole };
}

// A small text of the same kind.
function makeWord(from, n) {
  const rest = JSON.stringify({ from, n });
  return `${rest}#${sha256(rest)}`;
}

function readWord(word) {
  const [rest, sum] = String(word).split('#');
  return { ...JSON.parse(rest), whole: sha256(rest) === sum };
}

// Somebody who keeps a connection to a session, whatever happens to it.
class Person {
  constructor(session, role, name) {
    this.session = session;
    this.role = role;
    this.name = name;
    this.chunks = [];
    this.timers = [];
    this.ws = null;
    this.conn = null;
    this.away = false;
    this.patches = takesPatches(session);
    // The code that a CLI sent last, or a phone runs, and the SHA-256 by which it may be patched.
    this.code = null;
    this.label = null;
    this.connect();
  }

  say(ev, what = {}) {
    report(ev, { conn: this.conn, who: this.name, ...what });
  }

  connect() {
    if (this.away) return;
    const relay = relays[Math.floor(random() * relays.length)];
    this.n = 0;
    this.conn = `${this.name}.${++connections}`;
    this.welcome = false;
    const query = this.query();
    const ws = new WebSocket(`${relay.url}/${this.role}/${this.session}?${query}`, {
      perMessageDeflate: this.name.length % 2 === 0,
      handshakeTimeout: OPEN_TIMEOUT_MS,
    });
    this.ws = ws;
    const conn = this.conn;
    const patches = /(^|&)patch=1(&|$)/.test(query);
    const { name: who, role, session } = this;
    report('dial', { conn, who, role, session, relay: relay.name, patches });
    ws.on('message', (data, binary) => {
      if (this.ws === ws) this.take(data.toString('utf8'), binary);
      else report('late', { conn });
    });
    ws.on('error', () => {});
    ws.on('close', (code, reason) => {
      report('close', { conn, who: this.name, code, reason: reason.toString('utf8') });
      if (this.ws === ws) this.lost();
    });
  }

  query() {
    return '';
  }

  lost() {
    this.stop();
    this.ws = null;
    setTimeout(() => this.ws ?? this.connect(), BACK_MS[this.role] * (0.9 + 0.2 * random()));
  }

  stop() {
    this.timers.forEach(clearInterval);
    this.timers = [];
    clearTimeout(this.patience);
    this.waiting = false;
  }

  every(ms, act) {
    this.timers.push(setInterval(act, ms * (0.8 + 0.4 * random())));
  }

  take(text) {
    this.heard = Date.now();
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      this.say('broken', { bytes: text.length });
      return;
    }
    const { type } = message;
    if (type === 'connected') {
      if (this.welcome) this.say('twice');
      this.welcome = true;
      this.mayPatch = message.patch === true;
      this.say('open');
      this.every(PING_MS, () => this.ping());
      this.begin();
    } else if (type === 'pong') {
      clearTimeout(this.patience);
      this.waiting = false;
    } else if (type === 'talk') {
      this.got('talk', readWord(message.word));
    } else if (type === 'console_log') {
      const [word] = message.payload.args;
      if (String(word).startsWith('{')) this.got('log', readWord(word));
      else this.say('told', { type: 'console_log', text: String(word) });
    } else if (type === 'bundle_ack') {
      this.got('ack', readWord(message.word), { version: message.version });
    } else if (type === 'bundle_update') {
      this.label = null;
      this.run(message.payload.code, 'whole');
    } else if (type === 'bundle_start') {
      this.label = null;
      this.chunks = [];
    } else if (type === 'bundle_chunk') {
      // As released phones do: by index, and kept over a reconnect.
      this.chunks[message.index] = message.data;
      const here = this.chunks.filter((data) => data !== undefined).length;
      if (here === message.totalChunks) {
        const code = this.chunks.join('');
        this.chunks = [];
        this.run(code, 'whole');
      }
    } else if (type === 'bundle_patch') {
      this.patch(message);
    } else if (type === 'bundle_id' || type === 'bundle_kept') {
      this.label = this.code !== null && sha256(this.code) === message.sha256 ? message.sha256 : null;
      if (type === 'bundle_id' && this.label === null) this.say('unfit', { reason: type });
    } else if (type === 'bundle_unchanged') {
      if (message.sha256 !== this.label) this.say('unfit', { reason: type });
    } else if (type === 'bundle_wanted') {
      this.say('refused', { reason: message.reason });
      this.wanted();
    } else {
      const devices = message.devices?.map((device) => device.deviceId);
      this.say('told', { type, device: message.deviceId, devices, text: message.error });
      this.told(type);
    }
  }

  got(kind, { from, n, whole }, more = {}) {
    this.say('got', { kind, from, n, whole, ...more });
  }

  run() {}
  begin() {}
  told() {}
  patch() {}
  wanted() {}

  ping() {
    if (this.waiting) return;
    this.waiting = true;
    this.post(JSON.stringify({ type: 'ping', timestamp: Date.now() }));
    const { ws } = this;
    this.patience = setTimeout(() => {
      // A phone that doesn't read can't know, and one that hears something else waits on.
      if (this.ws !== ws || ws.isPaused || Date.now() - this.heard < PONG_MS) {
        this.waiting = false;
        return;
      }
      this.say('mute');
      ws.terminate();
    }, PONG_MS);
  }

  post(text) {
    if (this.ws?.readyState !== WebSocket.OPEN) return;
    this.ws.send(text, () => {});
  }

  // Send a message that the checker follows; `texts` are its parts.
  send(kind, n, texts, more = {}) {
    const { ws, conn } = this;
    if (ws?.readyState !== WebSocket.OPEN) return;
    report('sent', { conn, n, kind, ...more });
    texts.forEach((text, i) => {
      ws.send(text, (error) => {
        if (!error && i === texts.length - 1) report('handed', { conn, n });
      });
    });
  }

  reset() {
    this.ws?._socket?.resetAndDestroy();
  }
}

class Cli extends Person {
  query() {
    return this.patches ? 'patch=1' : '';
  }

  begin() {
    // It sends patches of what it is told is kept on this connection.
    this.label = null;
    this.every(TALK_MS, () => {
      if (!calm) this.talk();
    });
  }

  talk() {
    const n = ++this.n;
    this.send('talk', n, [JSON.stringify({ type: 'talk', word: makeWord(this.conn, n) })]);
  }

  told(type) {
    // A CLI answers by bundling, once for what comes at once.
    if (type !== 'mobile_connected' || this.bundling) return;
    this.bundling = setTimeout(() => {
      this.bundling = null;
      this.bundle();
    }, 50);
  }

  save() {
    if (!this.welcome || this.ws?.readyState !== WebSocket.OPEN) return;
    versions.set(this.session, (versions.get(this.session) ?? 0) + 1);
    this.bundle();
  }

  bundle(part = 1) {
    const version = versions.get(this.session);
    if (!this.welcome || this.ws?.readyState !== WebSocket.OPEN || version === undefined) return;
    const n = ++this.n;
    const timestamp = Date.now();
    if (this.mayPatch && this.label !== null && part === 1) {
      const { code, edits } = editCode(this.code, this.conn, n, version);
      const [base, sum, size] = [this.label, sha256(code), Buffer.byteLength(code)];
      const units = code.length;
      const patch = { type: 'bundle_patch', base, sha256: sum, size, units, edits, timestamp };
      this.code = code;
      this.label = null;
      this.send('bundle', n, [JSON.stringify(patch)], { version, part, messages: 1, patch: true });
      return;
    }
    const chars = Math.floor(20_000 + random() ** 3 * 3_000_000);
    const code = makeCode(this.conn, n, version, chars);
    this.code = code;
    this.label = null;
    const texts = [];
    if (code.length > CHUNK_CHARS && random() < 0.7) {
      const totalChunks = Math.ceil(code.length / CHUNK_CHARS);
      texts.push({ type: 'bundle_start', totalChunks, totalSize: code.length, timestamp });
      for (let index = 0; index < totalChunks; index++) {
        const data = code.slice(index * CHUNK_CHARS, (index + 1) * CHUNK_CHARS);
        texts.push({ type: 'bundle_chunk', index, totalChunks, data });
      }
    } else {
      texts.push({ type: 'bundle_update', payload: { code }, timestamp });
    }
    const parts = texts.map((one) => JSON.stringify(one));
    if (part < 1 && parts.length > 1) parts.length = Math.max(1, Math.floor(parts.length * part));
    this.send('bundle', n, parts, { version, part, messages: parts.length });
  }

  wanted() {
    this.label = null;
    this.bundle();
  }

  // It dies when half of a bundle is on its way: between two chunks, or in one message.
  dieSending() {
    if (this.ws?.readyState !== WebSocket.OPEN) return;
    this.bundle(0.5);
    setTimeout(() => this.ws?.terminate(), 20 + 100 * random());
  }
}

class Phone extends Person {
  query() {
    const have = this.label === null ? '' : `&have=${this.label}`;
    return `deviceId=${this.name}${this.patches ? `&patch=1${have}` : ''}`;
  }

  begin() {
    this.every(LOG_MS, () => {
      if (!calm) this.log();
    });
  }

  log() {
    const n = ++this.n;
    const payload = { level: 'log', args: [makeWord(this.conn, n)], timestamp: Date.now() };
    this.send('log', n, [JSON.stringify({ type: 'console_log', payload })]);
  }

  patch(message) {
    const made = message.base === this.label ? applyPatch(this.code, message) : null;
    if (made === null) {
      // The relay knows what a phone has: this is never needed.
      this.say('unfit', { reason: 'bundle_patch' });
      this.post(JSON.stringify({ type: 'bundle_wanted', timestamp: Date.now() }));
      return;
    }
    this.label = message.sha256;
    this.run(made, 'patch');
  }

  run(code, how) {
    this.code = code;
    const { from, n, version, whole } = readCode(code);
    this.say('got', { kind: 'bundle', from, n, version, whole, how, bytes: code.length });
    const own = ++this.n;
    const word = makeWord(this.conn, own);
    const ack = { type: 'bundle_ack', success: true, word, version, timestamp: Date.now() };
    this.send('ack', own, [JSON.stringify(ack)], { version });
  }

  // It changes its network: the old connection is never heard of again, a new one comes.
  vanish() {
    const { ws } = this;
    if (ws === null) return;
    this.say('gone');
    this.stop();
    ws.pause();
    this.ws = null;
    setTimeout(() => ws.terminate(), 20_000).unref();
    setTimeout(() => this.ws ?? this.connect(), 500 + 2500 * random());
  }

  // It reads nothing for a while, as a phone that is locked.
  lock(ms) {
    const { ws } = this;
    if (ws?.readyState !== WebSocket.OPEN) return;
    ws.pause();
    setTimeout(() => ws.resume(), ms);
  }

  // It reads in sips for a while, as over a bad line.
  crawl(ms) {
    const { ws } = this;
    if (ws?.readyState !== WebSocket.OPEN) return;
    const end = Date.now() + ms;
    const sip = () => {
      if (Date.now() > end || ws.readyState !== WebSocket.OPEN) {
        ws.resume();
        return;
      }
      ws.isPaused ? ws.resume() : ws.pause();
      setTimeout(sip, ws.isPaused ? SLOW_READ_MS : 1);
    };
    sip();
  }
}

const ROLES = { cli: Cli, mobile: Phone, dashboard: Person };

const orders = {
  begin({ seed, relays: at, sessions, phones }) {
    random = generator(seed);
    relays = at;
    for (const [i, session] of sessions.entries()) {
      for (let p = 1; p <= phones; p++) add(session, 'mobile', `s${i}p${p}`);
      add(session, 'cli', `s${i}cli1`);
      add(session, 'dashboard', `s${i}page`);
    }
  },
  save({ who }) {
    people.get(who)?.save?.();
  },
  // A second CLI of the session, for as long as it takes to be displaced or to stay.
  takeover({ who, session }) {
    if (!people.has(who)) add(session, 'cli', who);
  },
  leave({ who }) {
    const person = people.get(who);
    if (!person) return;
    person.away = true;
    person.ws?.close(1000);
    people.delete(who);
  },
  act({ who, what, ms }) {
    const person = people.get(who);
    person?.[what]?.(ms);
  },
  calm() {
    calm = true;
    report('calm', {});
  },
  // What the phones are expected to run now.
  look() {
    report('look', { versions: Object.fromEntries(versions) });
  },
  // Everybody says one thing more, and every CLI saves once more.
  final() {
    for (const person of people.values()) {
      person.talk?.();
      person.log?.();
      person.save?.();
    }
    report('final', { versions: Object.fromEntries(versions) });
  },
  stop() {
    process.exit(0);
  },
};

function add(session, role, name) {
  people.set(name, new ROLES[role](session, role, name));
}

createInterface({ input: process.stdin, crlfDelay: Infinity })
  .on('line', (line) => {
    const order = JSON.parse(line);
    orders[order.op](order);
  })
  .on('close', () => process.exit(0));
