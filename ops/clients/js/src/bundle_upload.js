// Sends bundles by HTTP, as no bundle passes a channel: PUT /bundles/{session}, with a patch of the last
// one where that may do, and with the whole where it may not.

import { createBackoff } from './backoff.js';
import { makePatch } from './patch_making.js';
import { hasLoneSurrogate } from './patch_rules.js';
import { createSendQueue } from './send_queue.js';
import { sha256Hex } from './sha256.js';
import { utf8Length } from './utf8.js';

const PATCH_TYPE = 'application/vnd.apptuner.bundle-patch+json';
const CODE_TYPE = 'text/javascript; charset=utf-8';
const TRIES = 8;
const CONFLICT = 409;
const NOT_KEPT = 507;

/**
 * `where` is `readPlace`'s, `secret` the session's, or nothing. Returns what `createBundleSender` does.
 */
export function createBundleUpload({ where, secret, patch = true, timers = globalThis, hash = sha256Hex }) {
  const address = `${where.place.http}/bundles/${where.session}`;
  const queue = createSendQueue(begin);
  let last = null;
  let isStopped = false;

  function begin(job) {
    job.bytes = 0;
    job.tries = 0;
    job.backoff = createBackoff();
    if (hasLoneSurrogate(job.code)) {
      queue.failed(new Error('the code has half a surrogate pair, which UTF-8 cannot express'));
      return;
    }
    hash(job.code).then(
      (sha256) => {
        job.sha256 = sha256;
        patched(job);
      },
      () => whole(job),
    );
  }

  function patched(job) {
    const made = patch && last !== null && last.sha256 !== null ? makePatch(last.code, job.code) : null;
    if (made === null) {
      whole(job);
      return;
    }
    const body = JSON.stringify({ type: 'bundle_patch', base: last.sha256, sha256: job.sha256, ...made });
    if (body.length >= job.code.length) whole(job);
    // A relay that refuses it says with one of many statuses why: the whole is right in any case.
    else put(job, 'patch', body, { 'Content-Type': PATCH_TYPE, 'If-Match': `"${last.sha256}"` }, whole);
  }

  function whole(job) {
    last = null;
    put(job, 'whole', job.code, { 'Content-Type': CODE_TYPE }, (refused, error) => queue.failed(error));
  }

  function put(job, sent, body, headers, refuse) {
    const authorization = secret ? { Authorization: `Bearer ${secret}` } : {};
    job.tries += 1;
    job.bytes += utf8Length(body);
    const again = (error) => {
      if (job !== queue.current()) return;
      if (job.tries >= TRIES) queue.failed(error);
      else timers.setTimeout(() => isStopped || put(job, sent, body, headers, refuse), job.backoff.next());
    };
    where
      .fetch(address, { method: 'PUT', headers: { ...headers, ...authorization }, body })
      .then((answer) => answer.text().then((text) => [answer.status, parse(text)]))
      .then(([status, answer]) => {
        if (job !== queue.current()) return;
        const error = new Error(`the relay answered with HTTP ${status}: ${answer.error || ''}`);
        const sha256 = answer.sha256 || null;
        if (sent === 'patch' && sha256 !== null && sha256 !== job.sha256) {
          // A relay that knows no patches has taken it for code.
          whole(job);
        } else if (status === 201 || status === NOT_KEPT) {
          last = { code: job.code, sha256: status === 201 ? sha256 : null };
          queue.done({ sent, bytes: job.bytes, sha256, phones: answer.phones });
        } else if (status === CONFLICT && answer.sha256) {
          last = null;
          queue.done({ sent: 'replaced', bytes: job.bytes });
        } else if (status === 429 || status === CONFLICT || (status >= 500 && sent === 'whole')) {
          again(error);
        } else {
          refuse(job, error);
        }
      }, again);
  }

  return {
    send: (code) => queue.add({ code }),
    sendAgain() {
      if (last !== null && queue.current() === null) queue.add({ code: last.code }).catch(() => undefined);
    },
    up: () => undefined,
    down: () => undefined,
    heed: () => false,
    stop(error) {
      isStopped = true;
      queue.stop(error);
    },
  };
}

function parse(text) {
  try {
    return JSON.parse(text) || {};
  } catch (error) {
    return {};
  }
}
