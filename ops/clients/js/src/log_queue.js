// The logs of an app on their way to a relay: limited where they begin, as an app that logs in a loop
// must not hold up what else it says. A relay drops logs beyond its --message-rate.
//
// While there is an allowance, each line is a message, in its order. Beyond it lines wait: errors and
// warnings go first, lines of one level are joined, and the oldest that can't wait are dropped. How many
// were dropped is told.

import { logValues } from './log_values.js';

const LEVELS = ['log', 'info', 'warn', 'error', 'debug'];
const SERIOUS = ['warn', 'error'];
/** What a message has beside its arguments at most, in UTF-16 code units. */
const ENVELOPE_UNITS = 96;

/**
 * @param {object} options
 * @param {(messages: object[]) => void} options.send sends messages `console_log`, at once or together.
 *   Called while the queue is open only.
 * @param {number} [options.rate] messages a second; half of what a relay takes by default.
 * @param {number} [options.burst] messages at once.
 * @param {number} [options.delay] for how many milliseconds lines are collected.
 * @param {number} [options.mostMessage] UTF-16 code units of a message: what a line is cut to.
 * @param {number} [options.mostBatch] UTF-16 code units of the messages of one call of `send`; a message
 *   alone may have more.
 * @param {number} [options.mostWaiting] UTF-16 code units of the errors and warnings that wait, and as
 *   many of other lines.
 * @param {() => number} [options.now] milliseconds since the epoch.
 * @param {Function} [options.setTimeout]
 * @param {Function} [options.clearTimeout]
 * @returns {{add: (level: string, args: Array) => void, open: () => void, close: () => void,
 *   flush: () => void}} `add` takes a line. `open` and `close` say whether there is a connection: lines
 *   wait until there is one. `flush` sends what may be sent now, without collecting.
 */
export function createLogQueue({
  send,
  rate = 50,
  burst = 250,
  delay = 50,
  mostMessage = 16 * 1024,
  mostBatch = 128 * 1024,
  mostWaiting = 128 * 1024,
  now = Date.now,
  setTimeout = globalThis.setTimeout,
  clearTimeout = globalThis.clearTimeout,
}) {
  const queues = { serious: createLines(mostWaiting), other: createLines(mostWaiting) };
  let isOpen = false;
  let timer = null;
  let allowance = burst;
  let refilledAt = now();
  let came = 0;
  let dropped = 0;

  function add(level, args) {
    const known = LEVELS.indexOf(level) >= 0 ? level : 'log';
    const values = logValues(args, mostMessage - ENVELOPE_UNITS);
    const units = JSON.stringify(values).length + ENVELOPE_UNITS;
    came += 1;
    const queue = SERIOUS.indexOf(known) >= 0 ? queues.serious : queues.other;
    dropped += queue.add({ level: known, args: values, timestamp: now(), units, number: came });
    wake();
  }

  function wake() {
    if (!isOpen || timer !== null || !isWaiting()) return;
    refill();
    const pause = allowance >= 1 ? delay : Math.max(delay, ((1 - allowance) * 1000) / rate);
    timer = setTimeout(() => {
      timer = null;
      flush();
    }, pause);
  }

  function isWaiting() {
    return dropped > 0 || queues.serious.count() + queues.other.count() > 0;
  }

  function refill() {
    const time = now();
    // A clock that is set back gives nothing, and takes nothing.
    const passed = Math.max(0, time - refilledAt);
    allowance = Math.min(burst, allowance + (passed * rate) / 1000);
    refilledAt = time;
  }

  function flush() {
    if (!isOpen) return;
    refill();
    while (isOpen && allowance >= 1 && isWaiting()) {
      const batch = takeBatch();
      allowance -= batch.length;
      send(batch);
    }
    wake();
  }

  /** The next messages: at least one, as many as are allowed, and about as much as a batch may have. */
  function takeBatch() {
    const batch = [];
    let units = 0;
    if (dropped > 0) batch.push(droppedNotice());
    const fitting = queues.serious.count() + queues.other.count() + batch.length <= allowance;
    while (batch.length + 1 <= allowance) {
      const queue = fitting ? earlier() : nextQueue();
      const first = queue.peek();
      if (first === undefined || (batch.length > 0 && units + first.units > mostBatch)) break;
      const line = queue.take();
      if (!fitting) join(line, queue);
      units += line.units;
      batch.push(message(line));
    }
    return batch;
  }

  function earlier() {
    const serious = queues.serious.peek();
    const other = queues.other.peek();
    return serious && (!other || serious.number < other.number) ? queues.serious : queues.other;
  }

  function nextQueue() {
    return queues.serious.count() ? queues.serious : queues.other;
  }

  /** Adds the lines to `line` that follow it and have its level, as far as a message has room. */
  function join(line, queue) {
    for (;;) {
      const next = queue.peek();
      if (!next || next.level !== line.level || line.units + next.units > mostMessage) return;
      queue.take();
      line.args = line.args.concat(['\n'], next.args);
      line.units += next.units;
    }
  }

  function droppedNotice() {
    const text = `apptuner-relay-client: ${dropped} log lines were dropped, as there were too many`;
    dropped = 0;
    return message({ level: 'warn', args: [text], timestamp: now() });
  }

  return {
    add,
    flush,
    open() {
      isOpen = true;
      wake();
    },
    close() {
      isOpen = false;
      if (timer !== null) clearTimeout(timer);
      timer = null;
    },
  };
}

function message({ level, args, timestamp }) {
  return { type: 'console_log', payload: { level, args, timestamp } };
}

/** Lines in their order; the oldest give way to new ones. */
function createLines(mostUnits) {
  let lines = [];
  let first = 0;
  let units = 0;

  function take() {
    const line = lines[first];
    lines[first] = undefined;
    first += 1;
    units -= line.units;
    // Now and then the places that are empty are given up.
    if (first > 64 && 2 * first > lines.length) {
      lines = lines.slice(first);
      first = 0;
    }
    return line;
  }

  return {
    take,
    /** Returns how many lines gave way. */
    add(line) {
      lines.push(line);
      units += line.units;
      let gone = 0;
      while (units > mostUnits && lines.length - first > 1) {
        take();
        gone += 1;
      }
      return gone;
    },
    peek() {
      return lines[first];
    },
    count() {
      return lines.length - first;
    },
  };
}
