// What a client says in a channel, joined: services limit how many events a client may send in a
// second (10 at Pusher) and how long one may be. Pure, but for the timers that it is given.

import { utf8Length } from './utf8.js';

/** How far apart events are, in ms. */
export const EVENT_EVERY_MS = 150;
/** Bytes of messages in one event; a relay takes events of 9,000 bytes. */
export const MOST_EVENT_BYTES = 8600;

/**
 * `send(messages)` sends one event. Returns {add(message), flush(), stop()}: `add` is false for a
 * message that no event takes; `flush` sends at once what waits.
 */
export function createChannelOutbox({ send, timers = globalThis }) {
  let queue = [];
  let timer = null;

  function sendSome() {
    let bytes = 0;
    let count = 0;
    while (count < queue.length && bytes + queue[count].bytes + 1 <= MOST_EVENT_BYTES) {
      bytes += queue[count].bytes + 1;
      count += 1;
    }
    const messages = queue.slice(0, count).map((one) => one.message);
    queue = queue.slice(count);
    send(messages);
  }

  function tick() {
    timer = null;
    if (!queue.length) return;
    sendSome();
    timer = timers.setTimeout(tick, EVENT_EVERY_MS);
  }

  return {
    add(message) {
      const bytes = utf8Length(JSON.stringify(message));
      if (bytes >= MOST_EVENT_BYTES) return false;
      queue.push({ message, bytes });
      // Messages of one turn of the program go together.
      if (timer === null) timer = timers.setTimeout(tick, 0);
      return true;
    },
    flush() {
      while (queue.length) sendSome();
    },
    stop() {
      if (timer !== null) timers.clearTimeout(timer);
      timer = null;
      queue = [];
    },
  };
}
