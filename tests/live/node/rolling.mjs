// Sessions under steady traffic while their relays are stopped one after the other, checked message
// by message: `node rolling.mjs '{"relays":[url…],"sessions":n,"chars":n,"every":ms}'`.
//
// Each session has a CLI, two phones and, every third one, a dashboard, on relays of their own. All
// of them send numbered messages all the time; a CLI also saves when it is told to, and then, and
// whenever a phone connects, sends its last bundle (those of every second session in chunks). Who is
// closed comes back through another relay.
//
// Reads JSON objects by line: {"op":"down","relay":i}, {"op":"up","relay":i,"url":…},
// {"op":"save","within":ms}, {"op":"end"}. Prints {"event":"ready"} when every client talks, first and
// after each relay that is up again, {"event":"saved"} when all have saved, and {"event":"done",…} at the end, when nothing has come
// for a while.
//
// What counts: whoever was welcomed before a message was sent, and is there to the end or got
// something later, has to have it: once, whole, in order. But for a bundle: a newer one takes the place
// of what its phone has not begun, or has begun in chunks.

import { createHash, randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline';
import WebSocket from 'ws';

const { relays, sessions: count, chars, every } = JSON.parse(process.argv[2]);
const filler = randomBytes(chars).toString('base64').slice(0, chars);
const CHUNKS = 8;
const BACK_MS = { cli: 600, dashboard: 300, mobile: 200 };
const SETTLED_MS = 2500;

const troubles = [];
const codes = {};
let ending = false;
let lastNews = Date.now();
let clock = 0; // counts what happens here, so that it has an order

const say = (event, more = {}) => process.stdout.write(JSON.stringify({ event, ...more }) + '\n');
const digest = (text) => createHash('sha256').update(text).digest('hex').slice(0, 16);
const pick = (list) => list[Math.floor(Math.random() * list.length)];

// One connection of a client: what it has sent and what it has got.
class Connection {
  constructor(client) {
    this.client = client;
    this.sent = []; // {n, at, isSave}: when each message was sent
    this.got = []; // {from, n}
    this.series = null;
    this.welcomed = Infinity;
    this.closed = false;
    const up = relays.map((url, i) => [url, i]).filter(([url]) => url);
    const home = client.home < relays.length && relays[client.home] ? client.home : null;
    this.relay = home ?? pick(up)[1];
    const { role, session } = client;
    const query = role === 'mobile' ? `?deviceId=${client.name}` : '';
    this.ws = new WebSocket(`${relays[this.relay]}/${role}/${session.id}${query}`);
    this.ws.on('unexpected-response', (request, response) => {
      if (response.statusCode !== 503) troubles.push(`${role} refused with ${response.statusCode}`);
      request.destroy();
      this.over(0);
    });
    this.ws.on('error', (error) => {
      if (error.code !== 'ECONNREFUSED' && this.welcomed < Infinity) {
        troubles.push(`${client.label}: ${error.message}`);
      }
    });
    this.ws.on('message', (data) => this.take(JSON.parse(data.toString('utf8'))));
    this.ws.on('close', (code, reason) => this.over(code, reason.toString()));
  }

  over(code, reason) {
    if (this.closed) return;
    this.closed = true;
    if (this.welcomed < Infinity && !ending) {
      codes[code] = (codes[code] ?? 0) + 1;
      if (code !== 1012) troubles.push(`${this.client.label} closed with ${code} ${reason}`);
    }
    if (!ending) setTimeout(() => this.client.open(), BACK_MS[this.client.role]);
  }

  take(message) {
    const { type, from, n } = message;
    if (type === 'connected') {
      this.welcomed = ++clock;
      this.client.session.changed();
    } else if (type === 'talk') {
      this.note(from, n, message.sum === digest(message.pad));
    } else if (type === 'bundle_update') {
      this.bundle(message.payload.code);
    } else if (type === 'bundle_start') {
      // A newer bundle may take the place of what is left of one that is played from the spool.
      this.series = [];
    } else if (type === 'bundle_chunk') {
      if (this.series === null) {
        strays++;
        return;
      }
      if (this.series.length !== message.index) {
        troubles.push(`${this.client.label}: chunk ${message.index} after ${this.series.length}`);
        this.series = null;
        return;
      }
      this.series.push(message.data);
      if (this.series.length === message.totalChunks) {
        this.bundle(this.series.join(''));
        this.series = null;
      }
    } else if (type === 'mobile_connected' && this.client.role === 'cli') {
      told.connected++;
      this.client.save(false);
    } else if (type === 'error') {
      errors[message.error] = (errors[message.error] ?? 0) + 1;
    }
  }

  bundle(code) {
    const [from, n, sum, rest] = code.split(':', 4);
    this.client.has = { n: Number(n), code: sum };
    this.note(from, Number(n), digest(rest) === sum);
    this.send('bundle_ack', { success: true, about: Number(n) });
  }

  note(from, n, intact) {
    lastNews = Date.now();
    if (!intact) troubles.push(`${this.client.label}: ${n} of ${from} is damaged`);
    this.got.push({ from, n });
  }

  get open() {
    return this.ws.readyState === WebSocket.OPEN && this.welcomed < Infinity;
  }

  number(isSave = false) {
    const n = this.client.next++;
    this.sent.push({ n, at: ++clock, isSave });
    return n;
  }

  send(type, more) {
    if (this.open) this.ws.send(JSON.stringify({ type, ...more, timestamp: Date.now() }));
  }

  talk() {
    if (!this.open) return;
    const pad = filler.slice(0, 20 + Math.floor(Math.random() * 300));
    const n = this.number();
    this.send('talk', { from: this.client.label, n, pad, sum: digest(pad) });
  }
}

const told = { connected: 0 };
const errors = {};
let strays = 0; // chunks of series that began before their reader was there

class Client {
  constructor(session, role, name, home) {
    Object.assign(this, { session, role, name, home, next: 0, connections: [], has: null });
    this.label = `${session.id}/${name}`;
    this.saved = 0;
    this.version = 0;
    this.open();
    this.timer = setInterval(() => this.now.talk(), every * (0.7 + 0.6 * Math.random()));
  }

  get now() {
    return this.connections.at(-1);
  }

  open() {
    if (!ending) this.connections.push(new Connection(this));
  }

  // A new version, or the last one again.
  save(changed) {
    if (changed) this.version++;
    const { now } = this;
    if (!now.open) {
      this.due = this.due || changed;
      return;
    }
    this.due = false;
    const n = now.number(true);
    const body = `${this.version}-${filler}`;
    const code = `${this.label}:${n}:${digest(body)}:${body}`;
    this.lastSum = digest(body);
    this.saved++;
    if (!this.session.chunked) {
      now.send('bundle_update', { payload: { code } });
      return;
    }
    const size = Math.ceil(code.length / CHUNKS);
    now.send('bundle_start', { totalChunks: CHUNKS, totalSize: code.length });
    for (let index = 0; index < CHUNKS; index++) {
      const data = code.slice(index * size, (index + 1) * size);
      now.send('bundle_chunk', { index, totalChunks: CHUNKS, data });
    }
  }
}

class Session {
  constructor(n) {
    this.id = `ROLL${n}`;
    this.chunked = n % 2 === 1;
    const home = (k) => (n + k) % relays.length;
    this.cli = new Client(this, 'cli', 'cli', home(0));
    this.phones = [0, 1].map((k) => new Client(this, 'mobile', `d${k}`, (n * 2 + k + (n >> 1)) % relays.length));
    this.pages = n % 3 === 0 ? [new Client(this, 'dashboard', 'page', home(2))] : [];
    this.clients = [this.cli, ...this.phones, ...this.pages];
  }

  changed() {
    if (this.cli.due) this.cli.save(false);
    if (sessions.length === count && sessions.every((one) => one.talks)) ready();
  }

  get talks() {
    return this.clients.every((client) => client.now.open);
  }

  // Each message that a connection should have had and has not.
  check() {
    const lost = [];
    const desktops = [this.cli, ...this.pages];
    for (const [senders, readers] of [[desktops, this.phones], [this.phones, desktops]]) {
      for (const sender of senders) {
        for (const reader of readers) this.checkPair(sender, reader, lost);
      }
    }
    return lost;
  }

  checkPair(sender, reader, lost) {
    for (const way of reader.connections) {
      const got = way.got.filter((one) => one.from === sender.label).map((one) => one.n);
      const seen = new Set(got);
      if (got.some((n, i) => i > 0 && n <= got[i - 1])) {
        troubles.push(`${reader.label} got those of ${sender.label} twice or in disorder`);
      }
      const last = way.closed ? Math.max(-1, ...got) : Infinity;
      const sent = sender.connections.flatMap((from) => from.sent);
      const newest = Math.max(-1, ...sent.filter((one) => one.isSave && seen.has(one.n)).map((one) => one.n));
      for (const from of sender.connections) {
        for (const { n, at, isSave } of from.sent) {
          if (at > way.welcomed && n <= last && !seen.has(n) && !(isSave && n < newest)) {
            lost.push(`${reader.label} (via ${way.relay}) misses ${n} of ${sender.label} (via ${from.relay})`);
          }
        }
      }
    }
  }

  // Phones that have not got the last save, though their connection and the CLI's are there.
  get stale() {
    if (!this.cli.lastSum) return [];
    return this.phones.filter((phone) => phone.has?.code !== this.cli.lastSum).map((phone) => phone.label);
  }
}

const sessions = [];
let waited = true;
function ready() {
  if (waited) say('ready');
  waited = false;
}
for (let n = 0; n < count; n++) sessions.push(new Session(n));

function finish() {
  for (const session of sessions) for (const client of session.clients) clearInterval(client.timer);
  if (Date.now() - lastNews < SETTLED_MS) return setTimeout(finish, 50);
  ending = true;
  const lost = sessions.flatMap((session) => session.check());
  const stale = sessions.flatMap((session) => session.stale);
  const all = sessions.flatMap((session) => session.clients);
  const sent = all.reduce((sum, one) => sum + one.next, 0);
  const saves = sessions.reduce((sum, session) => sum + session.cli.saved, 0);
  say('done', { sent, saves, lost: lost.length, some: lost.slice(0, 30), stale, troubles, codes, told, errors, strays });
  process.exit(0);
}

const ops = {
  down: ({ relay }) => (relays[relay] = null),
  up: ({ relay, url }) => {
    relays[relay] = url;
    waited = true;
    sessions[0].changed();
  },
  save: ({ within }) => {
    let left = sessions.length;
    for (const session of sessions) {
      setTimeout(() => {
        session.cli.save(true);
        if (!--left) say('saved');
      }, Math.random() * within);
    }
  },
  end: () => finish(),
};

createInterface({ input: process.stdin }).on('line', (line) => {
  const request = JSON.parse(line);
  ops[request.op](request);
});
