// A CLI in a session: sends bundles, as patches of the last one where that is possible, and hears
// what phones say.

import { createBundleSender } from './bundle_sender.js';
import { createBundleUpload } from './bundle_upload.js';
import { describeEnding } from './connection.js';
import { createPhoneReports } from './phone_reports.js';
import { credentialOf, joinSession, readPlace } from './session_client.js';

// Released CLIs ping as often, and don't look whether an answer comes.
const PINGS = { every: 20000, patience: 30000 };

const nothing = () => undefined;

/**
 * Joins a session as its CLI, and stays in it until `close` is called, another CLI takes over or the
 * relay refuses for good.
 *
 * @param {object} options
 * @param {string} options.url the relay, ws(s)://HOST; or a channel, pusher://KEY@HOST:PORT/APP_ID or
 *   relay://KEY as the relay's --managed has it, and then `relay` is the relay's URL.
 * @param {string} options.session the session's id.
 * @param {string} [options.secret] claims the session, or shows its secret.
 * @param {boolean} [options.tokens] phones need a join token from now on; with a secret.
 * @param {boolean} [options.patch] whether patches are sent where they may be.
 * @param {boolean} [options.resend] whether a phone that comes is sent the last bundle once more.
 * @returns {object} {send, isConnected, close}. `send(code)` returns a promise of {sent, bytes, sha256}:
 *   `sent` is 'patch', 'whole', or 'replaced' where a later call took its place before its turn came.
 *   It is rejected once the CLI is closed.
 * @throws {TypeError} an option can't be right.
 */
export function connectCli(options) {
  const { secret, tokens = false, patch = true, resend = true, timers = globalThis } = options;
  const { onMessage = nothing, onState = nothing, onPhoneConnected = nothing } = options;
  const where = readPlace(options);
  let connection = null;

  const wire = {
    send: (text) => connection.send(text),
    buffered: () => connection.buffered(),
    ping: (done) => connection.ping(done),
  };
  const bundles = where.isChannel
    ? createBundleUpload({ where, secret, patch, timers })
    : createBundleSender({ wire, patch, timers });

  const reports = createPhoneReports({
    devices: options.onPhones,
    acknowledgement: options.onAcknowledgement,
    log: options.onLog,
    phoneDisconnected: options.onPhoneDisconnected,
    phoneConnected(phone) {
      onPhoneConnected(phone);
      if (resend) bundles.sendAgain();
    },
  });

  connection = joinSession(where, {
    role: 'cli',
    fields: () => ({ tokens: tokens ? 1 : null, acks: 1 }),
    query: () => ({ patch: patch ? 1 : null }),
    credential: credentialOf({ secret }),
    channelPrefix: options.channelPrefix,
    pings: PINGS,
    timers,
    on: {
      up: bundles.up,
      message(message) {
        if (!bundles.heed(message) && !reports(message)) onMessage(message);
      },
      binary: options.onBinary || nothing,
      down: bundles.down,
      state(state, details) {
        if (state === 'closed') {
          const { ending } = details;
          bundles.stop(new Error(ending === null ? 'the CLI is closed' : describeEnding(ending)));
        }
        onState(state, details);
      },
    },
  });

  return { send: bundles.send, isConnected: connection.isUp, close: connection.close };
}
