// Clients of the Pusher protocol that others wrote: pusher-js as a phone or a page has it, and
// Pusher's own library for servers. Neither is changed, and nothing here speaks the protocol.
//
// One process plays any number of them. It reads one JSON object a line from stdin, {"op": …, …},
// and prints one a line, {"event": …, …}. Those with "id" are of a client; a request with "ref" is
// answered by exactly one {"event": "done" | "failed", "ref": …}. It leaves when its stdin ends.

import { createInterface } from 'node:readline';
import PusherServer from 'pusher';
import Pusher from 'pusher-js';

const clients = new Map();

function report(event) {
  process.stdout.write(JSON.stringify(event) + '\n');
}

function server({ appId, key, secret, host, port }) {
  return new PusherServer({ appId, key, secret, host, port: String(port), useTLS: false });
}

// Signed here by Pusher's library, for tests without a relay.
function signer({ user, ...application }) {
  const library = server(application);
  return {
    customHandler({ socketId, channelName }, callback) {
      callback(null, library.authorizeChannel(socketId, channelName, user));
    },
  };
}

class Client {
  // `auth` is {endpoint, params, headers} as pages write it, or {sign: {…, user}}.
  constructor({ id, key, host, port, path, auth, events }) {
    this.id = id;
    this.events = events;
    this.pusher = new Pusher(key, {
      cluster: '',
      wsHost: host,
      wsPort: port,
      wsPath: path,
      forceTLS: false,
      enabledTransports: ['ws'],
      channelAuthorization: auth.sign ? signer(auth.sign) : { transport: 'ajax', ...auth },
    });
    const { connection } = this.pusher;
    connection.bind('state_change', ({ current }) => {
      this.say('state', { state: current, socketId: connection.socket_id });
    });
    connection.bind('error', (error) => {
      this.say('error', { error: error?.error?.data ?? error?.data ?? null, type: error?.type });
    });
  }

  subscribe(name) {
    const channel = this.pusher.subscribe(name);
    channel.bind('pusher:subscription_succeeded', (members) => {
      this.say('subscribed', {
        channel: name,
        members: members?.members ?? null,
        me: members?.myID ?? null,
      });
    });
    channel.bind('pusher:subscription_error', ({ type, error, status }) => {
      this.say('refused', { channel: name, type, error, status });
    });
    for (const kind of ['added', 'removed']) {
      channel.bind(`pusher:member_${kind}`, ({ id, info }) => {
        this.say(kind, { channel: name, user: id, info });
      });
    }
    for (const event of this.events) {
      channel.bind(event, (data, metadata) => {
        this.say('told', { channel: name, name: event, data, user: metadata?.user_id ?? null });
      });
    }
  }

  say(event, more) {
    report({ event, id: this.id, ...more });
  }
}

async function answer({ ref, server: application, call, args }) {
  try {
    const response = await server(application)[call](...args);
    report({ event: 'done', ref, status: response.status, body: await response.text() });
  } catch (error) {
    report({ event: 'failed', ref, message: String(error), status: error.status ?? 0 });
  }
}

function heed(request) {
  if (request.op === 'server') {
    answer(request);
    return;
  }
  if (request.op === 'start') {
    clients.set(request.id, new Client(request));
    return;
  }
  const client = clients.get(request.id);
  const { pusher } = client;
  if (request.op === 'subscribe') client.subscribe(request.channel);
  else if (request.op === 'unsubscribe') pusher.unsubscribe(request.channel);
  else if (request.op === 'trigger') {
    pusher.send_event(request.name, request.data, request.channel);
  } else if (request.op === 'stop') pusher.disconnect();
  else if (request.op === 'back') pusher.connect();
}

createInterface({ input: process.stdin, crlfDelay: Infinity })
  .on('line', (line) => heed(JSON.parse(line)))
  .on('close', () => process.exit(0));

report({ event: 'ready' });
