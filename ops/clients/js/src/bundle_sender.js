// Sends bundles over the relay's own wire: as a patch of the last one where the relay keeps that, and
// whole where it doesn't, or where a patch would be no shorter. What a lost connection has cut is sent
// once more over the next one, from its beginning.

import { bundleMessages } from './bundle_messages.js';
import { makePatch } from './patch_making.js';
import { hasLoneSurrogate } from './patch_rules.js';
import { createSendQueue } from './send_queue.js';
import { sha256Hex } from './sha256.js';
import { utf8Length } from './utf8.js';

/** Bytes that may wait in the WebSocket before the next piece is made. */
const MOST_BUFFERED = 1024 * 1024;
const BUFFER_POLL_MS = 5;
/** How long the word that a bundle is kept is waited for before the next one is sent whole. */
const KEPT_MS = 2000;
/** A relay checks a patch for 10 s at the most. */
const ANSWER_MS = 15000;

/**
 * `wire` is {send(text), buffered(), ping(done)}, of which nothing is used between `down` and `up`. With
 * `patch` false everything goes whole.
 *
 * Returns what `connectCli` needs: `send(code)`, `sendAgain()`, `up(welcome)`, `down()`,
 * `heed(message)` and `stop(error)`.
 */
export function createBundleSender({ wire, patch = true, timers = globalThis, hash = sha256Hex }) {
  const queue = createSendQueue(begin);
  let last = null;
  let kept = null;
  let takesPatches = false;
  let isKeptAwaited = false;
  // A relay without a spool never says that a bundle is kept. It is waited for once.
  let isSilent = false;
  let isAgainOwed = false;
  // Not before the relay has answered a first ping: what it says until then is about phones that were
  // there before, and they get all that is sent after.
  let maySend = false;
  let attempt = 0;
  let timer = null;
  let onAnswer = null;

  // A turn of the work that is over once the connection is, or the job.
  function later(action, ms) {
    const mine = attempt;
    timer = timers.setTimeout(() => mine === attempt && action(), ms);
  }

  function clear() {
    attempt += 1;
    onAnswer = null;
    if (timer !== null) timers.clearTimeout(timer);
    timer = null;
  }

  function begin(job) {
    job.bytes = 0;
    job.sha256 = null;
    const hashed = hasLoneSurrogate(job.code) ? Promise.resolve(null) : hash(job.code);
    // Without a hash a bundle goes whole, and so does the next.
    hashed.then(
      (sha256) => {
        job.sha256 = sha256;
      },
      () => undefined,
    ).then(() => {
      job.isReady = true;
      if (queue.current() === job && maySend) go(job);
    });
  }

  function go(job) {
    clear();
    if (isKeptAwaited && !job.isWhole) {
      onAnswer = () => go(job);
      isKeptAwaited = false;
      later(() => {
        isSilent = true;
        go(job);
      }, KEPT_MS);
      return;
    }
    const text = job.isWhole ? null : patchText(job);
    job.hasBegun = true;
    if (text === null) sendWhole(job);
    else sendPatch(job, text);
  }

  function patchText({ code, sha256 }) {
    if (!patch || !takesPatches || sha256 === null) return null;
    if (last === null || last.sha256 === null || last.sha256 !== kept) return null;
    const made = makePatch(last.code, code);
    if (made === null) return null;
    const fields = { type: 'bundle_patch', base: last.sha256, sha256, size: made.size };
    const text = JSON.stringify({ ...fields, units: made.units, edits: made.edits, timestamp: Date.now() });
    return text.length < code.length ? text : null;
  }

  function say(job, text) {
    job.bytes += utf8Length(text);
    wire.send(text);
  }

  function sendPatch(job, text) {
    say(job, text);
    onAnswer = (message) => {
      if (message.type === 'bundle_wanted') {
        clear();
        sendWhole(job);
      } else if (message.sha256 === job.sha256) {
        done(job, 'patch');
      }
    };
    // Where another bundle took its place meanwhile, there is no answer.
    later(() => wire.ping(ifStill(() => done(job, 'patch'))), ANSWER_MS);
  }

  function ifStill(action) {
    const mine = attempt;
    return () => mine === attempt && action();
  }

  function sendWhole(job) {
    kept = null;
    isKeptAwaited = false;
    const messages = bundleMessages(job.code, { timestamp: Date.now() });
    pump(job, messages);
  }

  function pump(job, messages) {
    while (wire.buffered() < MOST_BUFFERED) {
      const { value, done: isDone } = messages.next();
      if (isDone) {
        // The answer to a ping says that all that was sent before has been read.
        wire.ping(
          ifStill(() => {
            isKeptAwaited = takesPatches && !isSilent && job.sha256 !== null && job.sha256 !== kept;
            done(job, 'whole');
          }),
        );
        return;
      }
      say(job, value);
    }
    later(() => pump(job, messages), BUFFER_POLL_MS);
  }

  function done(job, sent) {
    clear();
    last = { code: job.code, sha256: job.sha256 };
    queue.done({ sent, bytes: job.bytes, sha256: job.sha256 });
    if (isAgainOwed && queue.current() === null) sendAgain();
  }

  function sendAgain(isWhole = false) {
    isAgainOwed = false;
    if (last !== null) queue.add({ code: last.code, isWhole }).catch(() => undefined);
  }

  function settled() {
    maySend = true;
    const job = queue.current();
    if (job !== null && job.isReady) go(job);
    else if (job === null && isAgainOwed) sendAgain();
    isAgainOwed = false;
  }

  return {
    send: (code) => queue.add({ code, isWhole: false }),
    /** Somebody has come who has none: the last bundle is sent once more, as a patch without edits
     * where the relay keeps it. */
    sendAgain() {
      const job = queue.current();
      if (job === null && maySend) sendAgain();
      // What goes out from now on reaches whoever has come.
      else if (job === null || job.hasBegun) isAgainOwed = true;
    },
    up(welcome) {
      takesPatches = welcome.patch === true;
      wire.ping(ifStill(settled));
    },
    down() {
      clear();
      maySend = isKeptAwaited = isAgainOwed = false;
      const job = queue.current();
      if (job !== null) job.hasBegun = false;
    },
    /** Takes one message; false where it is none about bundles. */
    heed(message) {
      if (message.type !== 'bundle_kept' && message.type !== 'bundle_wanted') return false;
      if (message.type === 'bundle_kept') {
        kept = message.sha256;
        isKeptAwaited = isSilent = false;
      } else {
        kept = null;
      }
      if (onAnswer !== null) onAnswer(message);
      // A phone says so where the relay itself has nothing to send it.
      else if (message.type === 'bundle_wanted' && queue.current() === null) sendAgain(true);
      return true;
    },
    stop(error) {
      clear();
      queue.stop(error);
    },
  };
}
