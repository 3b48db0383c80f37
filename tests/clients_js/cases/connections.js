import { createBackoff } from '../../../ops/clients/js/src/backoff.js';
import { describeEnding, isFinal, keepConnection } from '../../../ops/clients/js/src/connection.js';
import { createTime, equal, isTrue } from './checks.js';

const ENDING = { code: 1006, reason: '', status: null, error: '' };
const PINGS = { every: 30000, patience: 10000 };

/** A connection whose lines are played by the case. `seen` has all that it says. */
function kept() {
  const time = createTime();
  const seen = [];
  const lines = [];
  const connection = keepConnection({
    open(on) {
      const line = { on };
      lines.push(line);
      return {
        send: (message) => seen.push(`sent ${message.type}`),
        ping: () => seen.push('ping'),
        buffered: () => 7,
        close: () => seen.push('close'),
        drop: () => seen.push('drop'),
      };
    },
    pings: PINGS,
    on: {
      up: () => seen.push('up'),
      message: ({ type }) => seen.push(type),
      binary: () => seen.push('binary'),
      down: ({ reason }) => seen.push(`down ${reason}`),
      state: (state, { delay }) => seen.push(delay === undefined ? state : `${state} ${delay}`),
    },
    backoff: createBackoff({ random: () => 1 }),
    timers: time,
    now: time.now,
  });
  return {
    connection,
    time,
    last: () => lines[lines.length - 1].on,
    lines,
    /** What it has said since the last time. */
    said: () => seen.splice(0),
  };
}

export const connections = {
  'it opens, and comes back ever later'() {
    const { connection, time, last, said } = kept();
    isTrue(!connection.send({ type: 'early' }), 'nothing is connected');
    last().up({});
    isTrue(connection.isUp() && connection.send({ type: 'log' }), 'it is connected');
    last().message({ type: 'reload' });
    equal(said(), ['connecting', 'open', 'up', 'sent log', 'reload']);
    last().down(ENDING);
    isTrue(!connection.isUp(), 'it is down');
    equal(said(), ['down ', 'waiting 1000']);
    time.advance(999);
    equal(said(), []);
    time.advance(1);
    last().down(ENDING);
    equal(said(), ['connecting', 'down ', 'waiting 2000']);
    time.advance(2000);
    last().up({});
    time.advance(10000);
    last().down(ENDING);
    equal(said(), ['connecting', 'open', 'up', 'down ', 'waiting 1000']);
  },
  'one that is welcomed and lost at once is no success'() {
    const { time, last, said } = kept();
    [1000, 2000, 4000].forEach((delay) => {
      last().up({});
      last().down(ENDING);
      equal(said().pop(), `waiting ${delay}`);
      time.advance(delay);
    });
  },
  'what an old line says is no news'() {
    const { time, lines, said } = kept();
    lines[0].on.up({});
    lines[0].on.down(ENDING);
    time.advance(1000);
    said();
    lines[0].on.message({ type: 'late' });
    lines[0].on.down(ENDING);
    lines[0].on.pong();
    equal(said(), []);
  },
  'it pings, and drops a line that is silent'() {
    const { time, last, said } = kept();
    last().up({});
    said();
    time.advance(30000);
    equal(said(), ['ping']);
    last().heard();
    time.advance(30000);
    equal(said(), ['ping']);
    time.advance(9999);
    equal(said(), []);
    time.advance(1);
    equal(said(), ['down no answer to a ping', 'waiting 1000', 'drop']);
  },
  'one that is never welcomed is dropped'() {
    const { time, said } = kept();
    said();
    time.advance(30000);
    equal(said(), ['down nothing was heard', 'waiting 1000', 'drop']);
  },
  'a ping of the program is answered in its turn'() {
    const { connection, time, last, said } = kept();
    const answered = [];
    last().up({});
    connection.ping(() => answered.push('first'));
    time.advance(30000);
    connection.ping(() => answered.push('second'));
    last().pong();
    equal(answered, ['first']);
    last().pong();
    equal(answered, ['first']);
    last().pong();
    equal(answered, ['first', 'second']);
    last().pong();
    connection.ping(() => answered.push('lost'));
    last().down(ENDING);
    time.advance(1000);
    last().up({});
    last().pong();
    equal(answered, ['first', 'second']);
    isTrue(said().length > 0, 'it said something');
  },
  'it is closed once, and stays so'() {
    const { connection, time, last, said } = kept();
    last().up({});
    said();
    connection.close();
    equal(said(), ['close', 'down closed by the program', 'closed']);
    connection.close();
    time.advance(1000000);
    isTrue(!connection.send({ type: 'late' }), 'it is closed');
    equal([said(), time.waiting()], [[], 0]);
  },
  'closed while it waits, it does not come back'() {
    const { connection, time, last, said } = kept();
    last().down(ENDING);
    connection.close();
    said();
    time.advance(1000000);
    equal([said(), time.waiting()], [[], 0]);
  },
  'a final ending ends it'() {
    const { time, last, said } = kept();
    last().down({ ...ENDING, status: 401 });
    equal(said(), ['connecting', 'down ', 'closed']);
    time.advance(1000000);
    equal([said(), time.waiting()], [[], 0]);
  },
  'a relay that asks for time gets it'() {
    const { last, said } = kept();
    last().down({ ...ENDING, status: 429, retryAfter: 45000 });
    equal(said().pop(), 'waiting 45000');
  },
  'which endings are final'() {
    const closed = (code, reason) => ({ ...ENDING, code, reason });
    [
      closed(1000, 'New CLI connected for this project'),
      closed(1000, 'There are too many pages'),
      closed(1008, 'This session was claimed by somebody else'),
      { ...ENDING, status: 403 },
      { ...ENDING, final: true },
    ].forEach((ending) => isTrue(isFinal(ending), describeEnding(ending)));
    [
      closed(1000, 'Session timeout'),
      closed(1008, 'no answer to a ping'),
      closed(1012, 'The relay restarts'),
      closed(1011, 'New CLI connected'),
      ENDING,
      { ...ENDING, status: 429 },
      { ...ENDING, status: 503 },
    ].forEach((ending) => isTrue(!isFinal(ending), describeEnding(ending)));
  },
  'what is said of endings'() {
    equal(describeEnding(ENDING), 'the connection was lost');
    equal(describeEnding({ ...ENDING, error: 'ECONNREFUSED' }), 'ECONNREFUSED');
    equal(describeEnding({ ...ENDING, status: 401, error: 'x' }), 'refused with HTTP 401');
    equal(describeEnding({ ...ENDING, code: 1012, reason: 'restart' }), 'closed with 1012: restart');
  },
};
