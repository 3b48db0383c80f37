// A phone in a session: gets bundles, says what became of them, and sends its console's lines.

import { createBundleDownload } from './bundle_download.js';
import { createLogQueue } from './log_queue.js';
import { createPhoneBundles, errorText } from './phone_bundles.js';
import { credentialOf, joinSession, readPlace } from './session_client.js';

// Released phones ping as often, but leave after 5 s, in which a long message may still be coming.
const PINGS = { every: 30000, patience: 30000 };

// An event of a channel has 9,000 bytes of UTF-8 at the most, and there are seven in a second.
const CHANNEL_LOGS = { rate: 20, burst: 20, mostMessage: 2700, mostBatch: 8000 };

const nothing = () => undefined;

/**
 * Joins a session as a phone, and stays in it until `close` is called or the relay refuses for good.
 *
 * @param {object} options
 * @param {string} options.url the relay, ws(s)://HOST; or a channel, pusher://KEY@HOST:PORT/APP_ID or
 *   relay://KEY as the relay's --managed has it, and then `relay` is the relay's URL.
 * @param {string} options.session the session's id.
 * @param {(code: string, about: {sha256: string | null, from: string, sourceMap?: string}) => any}
 *   options.onBundle a bundle is to run. `from` is 'whole', 'patch', 'url' or, for the code that was
 *   given as `have`, 'have'. What it returns or throws is acknowledged: a promise is waited for.
 * @returns {object} {log, acknowledge, label, isConnected, close}
 * @throws {TypeError} an option can't be right.
 */
export function connectPhone(options) {
  const { deviceName, platform, model, token, patch = true, replay = true, have = null } = options;
  const { onBundle, onLabel = nothing, onMessage = nothing, onState = nothing } = options;
  const { autoAcknowledge = true, timers = globalThis } = options;
  if (typeof onBundle !== 'function') throw new TypeError('a phone needs onBundle(code, about)');
  const deviceId = options.deviceId || randomId();
  const where = readPlace(options);
  let connection = null;
  let owed = null;
  let last = null;
  let turn = 0;

  const bundles = createPhoneBundles({
    have,
    on: {
      code: run,
      label: onLabel,
      unchanged: () => last !== null && say({ ...last, timestamp: Date.now() }),
      failed: (text) => tell(false, text),
      say,
      download: (bundle) => download(bundle),
    },
  });
  const download =
    where.fetch === null
      ? nothing
      : createBundleDownload({
          ...where,
          token,
          timers,
          done: bundles.downloaded,
          failed: bundles.downloadFailed,
        });

  function run(code, about) {
    turn += 1;
    last = null;
    const mine = turn;
    const isMine = () => autoAcknowledge && mine === turn && last === null;
    new Promise((resolve) => resolve(onBundle(code, about))).then(
      () => isMine() && tell(true),
      (error) => isMine() && tell(false, error),
    );
  }

  function tell(success, error) {
    const sha256 = bundles.label();
    const ack = { type: 'bundle_ack', success, deviceId, timestamp: Date.now() };
    if (!success) ack.error = errorText(error === undefined ? 'it failed' : error);
    else if (sha256 !== null) ack.sha256 = sha256;
    last = ack;
    say(ack);
  }

  function say(message) {
    if (connection !== null && connection.send(message)) return;
    // A question about a bundle of another connection is answered by what the next one brings.
    if (message.type === 'bundle_ack') owed = message;
  }

  const logs = createLogQueue({
    ...(where.isChannel ? CHANNEL_LOGS : {}),
    send: (messages) => messages.forEach((message) => connection.send(message)),
    setTimeout: (action, ms) => timers.setTimeout(action, ms),
    clearTimeout: (timer) => timers.clearTimeout(timer),
  });

  connection = joinSession(where, {
    role: 'mobile',
    fields: () => ({ deviceId, name: deviceName, model, platform, have: bundles.label() }),
    query: () => ({
      patch: patch ? 1 : null,
      replay: replay ? 1 : null,
      chunks: platform === 'ios' ? 1 : null,
    }),
    credential: credentialOf({ token }),
    channelPrefix: options.channelPrefix,
    pings: PINGS,
    timers,
    on: {
      up() {
        const message = owed;
        owed = null;
        if (message !== null) connection.send(message);
        logs.open();
      },
      message(message) {
        if (!bundles.heed(message)) onMessage(message);
      },
      binary: options.onBinary || nothing,
      down() {
        logs.close();
        bundles.cut();
      },
      state: onState,
    },
  });

  return {
    log: (level, ...args) => logs.add(level, args),
    acknowledge: (success, error) => tell(Boolean(success), error),
    label: bundles.label,
    isConnected: connection.isUp,
    close: connection.close,
  };
}

function randomId() {
  let id = '';
  while (id.length < 16) id += Math.floor(Math.random() * 16).toString(16);
  return id;
}
