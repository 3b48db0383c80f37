// Fetches bundles from the relay over HTTP, one at a time: of several the last one counts.

import { createBackoff } from './backoff.js';
import { utf8Length } from './utf8.js';

const TRIES = 6;
const BYTE_ORDER_MARK = '\ufeff';

/**
 * `place` is `parseRelayUrl`'s; `token` a join token, where phones need one. `done(code)` or
 * `failed(text)` is called for the bundle that was wanted last, {sha256, size}; for null nothing is.
 */
export function createBundleDownload({ fetch, place, session, token, done, failed, timers = globalThis }) {
  // In the URL a token would be in the logs of proxies.
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  let wanted = null;
  let waiting = null;

  function begin(bundle, backoff, tries) {
    const isWanted = (action) => (value) => bundle === wanted && action(value);
    const address = `${place.http}/bundles/${session}/${bundle.sha256}`;
    Promise.resolve()
      .then(() => fetch(address, { headers }))
      .then((answer) => answer.text().then((text) => read(answer.status, text, bundle.size)))
      .then(
        isWanted((code) => {
          wanted = null;
          done(code);
        }),
        isWanted((error) => {
          if (error.isFinal || tries >= TRIES) {
            wanted = null;
            failed(`the bundle could not be downloaded: ${error.message}`);
            return;
          }
          waiting = timers.setTimeout(() => begin(bundle, backoff, tries + 1), backoff.next());
        }),
      );
  }

  return function want(bundle) {
    if (waiting !== null) timers.clearTimeout(waiting);
    waiting = null;
    wanted = bundle;
    if (bundle !== null) begin(bundle, createBackoff(), 1);
  };
}

function read(status, text, size) {
  if (status !== 200) {
    const error = new Error(`the relay answered with HTTP ${status}`);
    // 404: a newer one has taken its place, and is announced in a moment.
    error.isFinal = status < 500 && status !== 429 && status !== 404;
    throw error;
  }
  const length = utf8Length(text);
  if (length === size) return text;
  // Decoding takes a byte order mark for no part of the text.
  if (length + 3 === size) return BYTE_ORDER_MARK + text;
  throw new Error(`it has ${length} bytes instead of ${size}`);
}
