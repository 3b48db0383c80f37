import { connectPhone } from '../../../ops/clients/js/src/phone.js';
import { createTime, equal, isTrue } from './checks.js';

const ONE = 'a'.repeat(64);
const TWO = 'b'.repeat(64);
const THREE = 'c'.repeat(64);
const CODE = 'let color = "red";\n';

/** A WebSocket without a network: `sockets` has each that was made, and what it was told. */
function createSockets() {
  const sockets = [];
  function FakeWebSocket(url) {
    const listeners = {};
    const socket = this;
    Object.assign(socket, { url, said: [], bufferedAmount: 0, isClosed: false });
    socket.addEventListener = (name, listener) => {
      listeners[name] = listener;
    };
    socket.send = (text) => socket.said.push(JSON.parse(text));
    socket.close = () => {
      socket.isClosed = true;
    };
    socket.hear = (message) => listeners.message({ data: JSON.stringify(message) });
    socket.lose = (code) => listeners.close({ code, reason: '' });
    socket.welcome = () => {
      listeners.open({});
      socket.hear({ type: 'connected', sessionId: ONE, clientType: 'mobile', timestamp: 1 });
    };
    sockets.push(socket);
  }
  return { FakeWebSocket, sockets };
}

/** A phone whose first connection is there, what it ran, and its sockets. */
function started(options = {}) {
  const time = createTime();
  const { FakeWebSocket, sockets } = createSockets();
  const ran = [];
  const labels = [];
  const phone = connectPhone({
    url: 'wss://relay.example.com',
    session: 'ABC234',
    deviceId: 'pixel',
    WebSocket: FakeWebSocket,
    timers: time,
    onBundle: (code, { from, sha256 }) => {
      ran.push([code, from, sha256]);
    },
    onLabel: (sha256) => labels.push(sha256),
    ...options,
  });
  sockets[0].welcome();
  return { phone, sockets, ran, labels, time };
}

const whole = (code) => ({ type: 'bundle_update', payload: { code }, timestamp: 1 });
const label = (sha256, code) => ({ type: 'bundle_id', sha256, units: code.length, timestamp: 1 });

function patch(base, sha256, edits, units = CODE.length) {
  return { type: 'bundle_patch', base, sha256, size: units, units, edits, timestamp: 1 };
}

/** When promises that are settled have been heard of. */
function soon(turns = 10) {
  return turns === 0 ? Promise.resolve() : Promise.resolve().then(() => soon(turns - 1));
}

function said(socket, type) {
  return socket.said.filter((message) => message.type === type);
}

function query(socket) {
  return socket.url.split('?')[1].replace(/%2F[\d.]+/, '').split('&').sort();
}

export const phone = {
  'a bundle, its label, and a patch of it are run and acknowledged'() {
    const { sockets, ran, labels } = started();
    const [socket] = sockets;
    equal(socket.url.split('?')[0], 'wss://relay.example.com/mobile/ABC234');
    equal(query(socket), ['agent=apptuner-relay-js', 'deviceId=pixel', 'patch=1', 'replay=1']);
    socket.hear(whole(CODE));
    socket.hear(label(ONE, CODE));
    return soon()
      .then(() => {
        socket.hear(patch(ONE, TWO, [[13, 16, 'tan', 'red']]));
        socket.hear(patch(TWO, THREE, [[13, 16, 'sky', 'tan']]));
        return soon();
      })
      .then(() => {
        equal(ran, [
          [CODE, 'whole', null],
          ['let color = "tan";\n', 'patch', TWO],
          ['let color = "sky";\n', 'patch', THREE],
        ]);
        equal(labels, [ONE, TWO, THREE]);
        const acks = said(socket, 'bundle_ack').map(({ success, sha256 }) => [success, sha256]);
        equal(acks, [
          [true, ONE],
          [true, THREE],
        ]);
      });
  },
  'a patch that does not fit is not run, and the whole is asked for'() {
    for (const [bad, reason] of [
      [patch(TWO, THREE, []), 'base'],
      [patch(ONE, TWO, [[13, 16, 'tan', 'sky']]), 'old'],
      [patch(ONE, TWO, [[13, 16, 'tan']], 7), 'units'],
      [patch(ONE, TWO, [[13, 99, 'tan']]), 'bounds'],
      [patch(ONE, undefined, []), 'malformed'],
    ]) {
      const { sockets, ran } = started();
      const [socket] = sockets;
      socket.hear(whole(CODE));
      socket.hear(label(ONE, CODE));
      socket.hear(bad);
      equal(said(socket, 'bundle_wanted').map((message) => message.reason), [reason]);
      equal(ran.length, 1);
      socket.hear(whole('next'));
      equal(ran[1], ['next', 'whole', null]);
    }
  },
  'a patch before any label is not taken'() {
    const { sockets, ran } = started();
    sockets[0].hear(whole(CODE));
    sockets[0].hear(patch(ONE, TWO, []));
    equal(said(sockets[0], 'bundle_wanted').map((message) => message.reason), ['base']);
    equal(ran.length, 1);
  },
  'a label of another length is not this code\'s'() {
    const { sockets, labels } = started();
    sockets[0].hear(whole(CODE));
    sockets[0].hear(label(ONE, `${CODE} `));
    equal(labels, []);
  },
  'a connection that comes back says what is here, and never joins chunks of two'() {
    const { sockets, ran, time } = started();
    sockets[0].hear(whole(CODE));
    sockets[0].hear(label(ONE, CODE));
    sockets[0].hear({ type: 'bundle_start', totalChunks: 2, totalSize: 2 });
    sockets[0].hear({ type: 'bundle_chunk', index: 0, totalChunks: 2, data: 'a' });
    sockets[0].lose(1006);
    equal(sockets.length, 1);
    time.advance(1000);
    equal(sockets.length, 2);
    equal(query(sockets[1]), ['agent=apptuner-relay-js', 'deviceId=pixel', `have=${ONE}`, 'patch=1', 'replay=1']);
    sockets[1].welcome();
    sockets[1].hear({ type: 'bundle_chunk', index: 1, totalChunks: 2, data: 'b' });
    equal(ran.map(([code]) => code), [CODE]);
    sockets[1].hear(patch(ONE, TWO, [[13, 16, 'tan']]));
    equal(ran[1], ['let color = "tan";\n', 'patch', TWO]);
  },
  'what the app has kept is run where it is still right'() {
    const { sockets, ran } = started({ have: { code: CODE, sha256: ONE } });
    isTrue(query(sockets[0]).indexOf(`have=${ONE}`) >= 0, 'it says so');
    sockets[0].hear({ type: 'bundle_unchanged', sha256: ONE, timestamp: 1 });
    equal(ran, [[CODE, 'have', ONE]]);
  },
  'what fails is said with the error'() {
    const { sockets } = started({
      onBundle() {
        throw new SyntaxError('Unexpected token');
      },
    });
    sockets[0].hear(whole('}'));
    return soon().then(() => {
      const [ack] = said(sockets[0], 'bundle_ack');
      equal([ack.success, ack.error], [false, 'SyntaxError: Unexpected token']);
    });
  },
  'logs are sent, and wait for the next connection'() {
    const { phone: one, sockets, time } = started();
    one.log('warn', 'slow', { ms: 48 });
    time.advance(100);
    equal(said(sockets[0], 'console_log').map(({ payload }) => [payload.level, payload.args]), [
      ['warn', ['slow', { ms: 48 }]],
    ]);
    sockets[0].lose(1012);
    one.log('log', 'meanwhile');
    time.advance(1000);
    sockets[1].welcome();
    time.advance(100);
    equal(said(sockets[1], 'console_log').map(({ payload }) => payload.args), [['meanwhile']]);
  },
  'it pings, gives up a connection that is silent, and closes'() {
    const { phone: one, sockets, time } = started();
    time.advance(30000);
    equal(said(sockets[0], 'ping').length, 1);
    sockets[0].hear({ type: 'pong', timestamp: 1 });
    time.advance(29000);
    equal(sockets.length, 1);
    time.advance(33000);
    equal(sockets.length, 2);
    isTrue(sockets[0].isClosed, 'the silent one is closed');
    sockets[1].welcome();
    one.close();
    isTrue(sockets[1].isClosed, 'the second one is closed');
    time.advance(3600000);
    equal([sockets.length, time.waiting()], [2, 0]);
  },
};
