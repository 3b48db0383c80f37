import { createLogQueue } from '../../../ops/clients/js/src/log_queue.js';
import { logValues } from '../../../ops/clients/js/src/log_values.js';
import { createTime, equal, isTrue } from './checks.js';

/** A queue, its time, and what it has sent: level and text of each message, by call. */
function started(options = {}) {
  const time = createTime();
  const calls = [];
  const queue = createLogQueue({
    send: (messages) => calls.push(messages.map(({ payload }) => [payload.level, ...payload.args])),
    now: time.now,
    setTimeout: time.setTimeout,
    clearTimeout: time.clearTimeout,
    ...options,
  });
  queue.open();
  return { time, calls, queue };
}

function values(args, most = 10000) {
  return logValues(args, most);
}

export const logs = {
  'lines of a moment are sent together, each a message, in their order'() {
    const { time, calls, queue } = started();
    queue.add('log', ['one', { two: 2 }]);
    queue.add('error', ['three']);
    queue.add('debug', []);
    time.advance(49);
    equal(calls, []);
    time.advance(1);
    equal(calls, [[['log', 'one', { two: 2 }], ['error', 'three'], ['debug']]]);
    equal(time.waiting(), 0);
  },
  'a message is what the protocol says'() {
    const time = createTime();
    const sent = [];
    const queue = createLogQueue({ send: (messages) => sent.push(...messages), ...time });
    queue.open();
    queue.add('shout', ['a']);
    time.advance(50);
    const payload = { level: 'log', args: ['a'], timestamp: 1764412800000 };
    equal(sent, [{ type: 'console_log', payload }]);
  },
  'what an object was when it was logged is sent'() {
    const { time, calls, queue } = started();
    const state = { count: 1 };
    queue.add('log', [state]);
    state.count = 2;
    time.advance(50);
    equal(calls, [[['log', { count: 1 }]]]);
  },
  'beyond the rate lines are joined, errors and warnings first'() {
    const { time, calls, queue } = started({ rate: 2, burst: 4 });
    for (const text of ['a', 'b', 'c']) queue.add('log', [text]);
    queue.add('error', ['bad']);
    queue.add('warn', ['careful']);
    queue.add('error', ['worse']);
    queue.add('log', ['d', 4]);
    time.advance(50);
    equal(calls, [
      [
        ['error', 'bad'],
        ['warn', 'careful'],
        ['error', 'worse'],
        ['log', 'a', '\n', 'b', '\n', 'c', '\n', 'd', 4],
      ],
    ]);
  },
  'the allowance comes back with time, and no more than a burst of it'() {
    const { time, calls, queue } = started({ rate: 2, burst: 2 });
    ['info', 'log', 'debug', 'info'].forEach((level) => queue.add(level, [level]));
    time.advance(50);
    equal(calls.length, 1);
    equal(calls[0].length, 2);
    time.advance(449);
    equal(calls.length, 1);
    time.advance(600);
    equal(calls.slice(1), [[['debug', 'debug']], [['info', 'info']]]);
    time.advance(3600000);
    for (let count = 0; count < 8; count += 1) queue.add(count % 2 ? 'log' : 'info', ['x']);
    time.advance(50);
    equal(calls[3].length, 2);
  },
  'a clock that is set back takes no allowance away'() {
    const { time, calls, queue } = started({ rate: 1, burst: 1 });
    queue.add('log', ['a']);
    time.advance(50);
    time.set(time.now() - 3600000);
    queue.add('log', ['b']);
    time.advance(1000);
    equal(calls, [[['log', 'a']], [['log', 'b']]]);
  },
  'the oldest lines give way, errors not to others, and their number is told'() {
    const { time, calls, queue } = started({ rate: 1, burst: 3, mostWaiting: 1000 });
    queue.add('error', ['bad']);
    for (let number = 0; number < 50; number += 1) queue.add('log', [`line ${number}`]);
    time.advance(50);
    const [[notice, error, log]] = calls;
    equal(error, ['error', 'bad']);
    isTrue(log[0] === 'log' && log[log.length - 1] === 'line 49', 'the newest are there');
    const left = (log.length - 1 + 1) / 2;
    const told = `apptuner-relay-client: ${50 - left} log lines were dropped, as there were too many`;
    equal(notice, ['warn', told]);
  },
  'lines wait for a connection'() {
    const { time, calls, queue } = started();
    queue.add('log', ['before']);
    queue.close();
    queue.add('log', ['meanwhile']);
    time.advance(60000);
    queue.flush();
    equal(calls, []);
    queue.open();
    time.advance(50);
    equal(calls, [[['log', 'before'], ['log', 'meanwhile']]]);
  },
  'flush sends at once'() {
    const { calls, queue } = started();
    queue.add('log', ['a']);
    queue.flush();
    equal(calls, [[['log', 'a']]]);
  },
  'a connection that is lost while lines are sent keeps the rest'() {
    const time = createTime();
    const sent = [];
    const queue = createLogQueue({
      ...time,
      mostBatch: 1,
      send(messages) {
        sent.push(messages[0].payload.args[0]);
        if (sent.length === 1) queue.close();
      },
    });
    queue.open();
    ['a', 'b'].forEach((text) => queue.add('log', [text]));
    time.advance(50);
    equal(sent, ['a']);
    queue.open();
    time.advance(50);
    equal(sent, ['a', 'b']);
  },
  'a batch and a message have their limits'() {
    const { time, calls, queue } = started({ mostBatch: 1500, mostMessage: 1000 });
    queue.add('log', ['x'.repeat(100000)]);
    queue.add('log', ['\u0001'.repeat(100000)]);
    queue.add('log', ['y'.repeat(100)]);
    time.advance(50);
    equal(calls.map((call) => call.length), [2, 1]);
    calls.forEach((call) => isTrue(JSON.stringify(call).length <= 1500, 'a short batch'));
    calls.forEach((call) => call.forEach((one) => isTrue(JSON.stringify(one).length <= 1000, 'a short one')));
    isTrue(calls[0][0][1].startsWith('xxx') && calls[0][0][1].endsWith('x…'), 'cut with a mark');
  },
  'joined lines stay within the limit of a message'() {
    const { time, calls, queue } = started({ rate: 1, burst: 2, mostMessage: 1000 });
    for (let number = 0; number < 9; number += 1) queue.add('log', ['z'.repeat(300)]);
    time.advance(50);
    equal(calls[0].map((one) => one.length), [4, 4]);
  },
  'values that JSON has no word for'() {
    const error = new TypeError('no such thing');
    error.stack = 'TypeError: no such thing\n    at here';
    const round = { name: 'round' };
    round.self = round;
    equal(
      values([undefined, NaN, Infinity, null, true, error, round, () => 1, new Date(0), Symbol('s')]),
      [
        'undefined',
        'NaN',
        'Infinity',
        null,
        true,
        'TypeError: no such thing\n    at here',
        { name: 'round', self: '[circular]' },
        '[function anonymous]',
        '1970-01-01T00:00:00.000Z',
        'Symbol(s)',
      ],
    );
    equal(values([new Map([['a', 1]]), new Set([2]), new Uint8Array(3)]), [
      [['a', 1]],
      [2],
      '[3 bytes]',
    ]);
  },
  'an error whose stack does not begin with what it says'() {
    const error = new Error('why');
    error.stack = 'at here';
    equal(values([error]), ['Error: why\nat here']);
  },
  'values that throw, and those that never end'() {
    const thrower = {
      get it() {
        throw new Error('no');
      },
    };
    const endless = { toJSON: () => ({ toJSON: endless.toJSON }) };
    equal(values([thrower, endless]), [{}, '…'].map((one, at) => (at ? one : '[unreadable]')));
    const deep = {};
    let at = deep;
    for (let depth = 0; depth < 1000; depth += 1) at = at.in = {};
    isTrue(JSON.stringify(values([deep])).length < 100, 'a deep one is cut');
  },
  'values that are wide'() {
    const [list, object] = values([new Array(1000).fill(1), Object.fromEntries(
      Array.from({ length: 1000 }, (_, number) => [`key${number}`, number]),
    )]);
    equal([list.length, list[100]], [101, '…']);
    equal([Object.keys(object).length, object['…']], [101, 900]);
  },
  'a text is not cut inside a character'() {
    const [text] = values(['🛒'.repeat(100)], 101);
    equal(text.replace(/🛒/g, ''), '…');
  },
};
