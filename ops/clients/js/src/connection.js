// Keeps a client in its session: opens a connection, pings, and comes back after any end but a final
// one. What a connection is made of is for `relay_line` and `channel_line`.

import { createBackoff } from './backoff.js';

const CONNECT_MS = 30000;
/** A connection that lasted for this long was good: the next loss is the first one again. */
const GOOD_MS = 10000;

const MOST_RETRY_AFTER_MS = 3600000;

const FINAL_STATUS = [400, 401, 403, 404];
const FINAL_REASON = /^(New \w+ connected|There are too many pages|This session |Somebody else )/;

/**
 * Whether coming back would only meet the same end, or throw out whoever has taken this place.
 * An ending is {code, reason, status, error}: the close code and reason, the HTTP status of a
 * handshake that was refused or null, and an implementation's own words. Where a line knows more, it
 * has `final`, true, or `retryAfter`, in ms.
 */
export function isFinal(ending) {
  if (ending.final) return true;
  if (FINAL_STATUS.includes(ending.status)) return true;
  return (ending.code === 1000 || ending.code === 1008) && FINAL_REASON.test(ending.reason || '');
}

/** One line for people about an ending. */
export function describeEnding(ending) {
  if (ending.status) {
    return `refused with HTTP ${ending.status}${ending.reason ? `: ${ending.reason}` : ''}`;
  }
  const text = ending.reason || ending.error;
  if (ending.code === 1006 || !ending.code) return text || 'the connection was lost';
  return `closed with ${ending.code}${text ? `: ${text}` : ''}`;
}

/**
 * Begins at once. `open(on)` makes one line, {send(message), ping(), buffered(), close(), drop()},
 * which calls `on.up(welcome)`, `on.message(message)`, `on.binary(data)`, `on.heard()` for anything
 * that came, `on.pong()`, and once `on.down(ending)`.
 *
 * `pings` is {every, patience} in ms: a line of which nothing is heard for `patience` after a ping
 * is dropped. `on` is told: `up(welcome)`, `message(message)`, `binary(data)`, `down(ending)`, and
 * `state(state, details)` with 'connecting', 'open', 'waiting' ({delay, ending}) and 'closed'
 * ({ending}, null where `close` was called).
 *
 * Returns {send, ping, isUp, buffered, close}. `send(message)` is false where nothing is connected.
 * `ping(done)` calls `done()` when the relay has read all that was sent before; never, if the
 * connection ends first.
 */
export function keepConnection({
  open,
  pings,
  on,
  backoff = createBackoff(),
  timers = globalThis,
  now = Date.now,
}) {
  let line = null;
  let isUp = false;
  let isClosed = false;
  let upAt = 0;
  let pongs = [];
  let waiting = null;
  let beat = null;
  let patience = null;

  function stopTimers() {
    [waiting, beat, patience].forEach((timer) => timer !== null && timers.clearTimeout(timer));
    waiting = beat = patience = null;
  }

  function begin() {
    waiting = null;
    on.state('connecting', {});
    if (isClosed) return;
    let mine = null;
    const isMine = (action) => (value) => {
      if (mine === null || mine === line) action(value);
    };
    patience = timers.setTimeout(() => lose('nothing was heard'), CONNECT_MS);
    mine = line = open({
      up: isMine(up),
      heard: isMine(heard),
      message: isMine(on.message),
      binary: isMine(on.binary),
      pong: isMine(() => pongs.length && pongs.shift()()),
      down: isMine(down),
    });
  }

  function up(welcome) {
    isUp = true;
    upAt = now();
    heard();
    beat = timers.setTimeout(heartbeat, pings.every);
    on.state('open', {});
    on.up(welcome);
  }

  function heard() {
    if (!isUp || patience === null) return;
    timers.clearTimeout(patience);
    patience = null;
  }

  function heartbeat() {
    beat = timers.setTimeout(heartbeat, pings.every);
    if (patience === null) {
      patience = timers.setTimeout(() => lose('no answer to a ping'), pings.patience);
    }
    pongs.push(() => undefined);
    line.ping();
  }

  function lose(reason) {
    const lost = line;
    down({ code: 1006, reason, status: null, error: '' });
    lost.drop();
  }

  function down(ending) {
    if (isClosed) return;
    stopTimers();
    line = null;
    pongs = [];
    if (isUp && now() - upAt >= GOOD_MS) backoff.reset();
    isUp = false;
    isClosed = isFinal(ending);
    on.down(ending);
    if (isClosed) {
      on.state('closed', { ending });
      return;
    }
    const delay = Math.max(backoff.next(), Math.min(ending.retryAfter || 0, MOST_RETRY_AFTER_MS));
    waiting = timers.setTimeout(begin, delay);
    on.state('waiting', { delay, ending });
  }

  const kept = {
    isUp: () => isUp,
    send(message) {
      if (isUp) line.send(message);
      return isUp;
    },
    ping(done) {
      if (!isUp) return;
      pongs.push(done);
      line.ping();
    },
    buffered: () => (isUp ? line.buffered() : 0),
    close() {
      if (isClosed) return;
      isClosed = true;
      isUp = false;
      stopTimers();
      if (line !== null) line.close();
      line = null;
      on.down({ code: 1000, reason: 'closed by the program', status: null, error: '' });
      on.state('closed', { ending: null });
    },
  };
  begin();
  return kept;
}
