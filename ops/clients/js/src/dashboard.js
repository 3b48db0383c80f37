// A dashboard in a session: sees which phones are there, what they log, which bundles there are and
// what became of them.

import { createPhoneReports } from './phone_reports.js';
import { credentialOf, joinSession, readPlace } from './session_client.js';

// Released pages don't ping. One that does finds out that its connection is dead.
const PINGS = { every: 30000, patience: 30000 };

/** Of a content coding behind the hash, the length is that of what is coded. */
const ENTITY_TAG = /^(?:W\/)?"([0-9a-f]{64})(-[^"]*)?"/;

const nothing = () => undefined;

/**
 * Joins a session as a dashboard, and stays in it until `close` is called or the relay refuses for good.
 *
 * @param {object} options
 * @param {string} options.url the relay, ws(s)://HOST; or a channel, pusher://KEY@HOST:PORT/APP_ID or
 *   relay://KEY as the relay's --managed has it, and then `relay` is the relay's URL.
 * @param {string} options.session the session's id.
 * @param {string} [options.secret] that of a session that is claimed.
 * @param {(bundle: {sha256: string, size: number | null}) => void} [options.onBundle] another bundle is
 *   the session's. The relay is asked for it over HTTP when a phone acknowledges one; browsers are not
 *   told the size. A page whose origin the relay's --allowed-origin excludes gets no answer there, and
 *   knows of bundles what phones of this package say of those that they run.
 * @returns {object} {isConnected, close}
 * @throws {TypeError} an option can't be right.
 */
export function connectDashboard(options) {
  const { secret, timers = globalThis } = options;
  const { onBundle = nothing, onAcknowledgement = nothing, onMessage = nothing } = options;
  const where = readPlace(options);
  let known = null;
  let asked = 0;

  function found(sha256, size) {
    if (sha256 === known) return;
    known = sha256;
    onBundle({ sha256, size });
  }

  // HEAD says which bundle is kept, and none of its code comes. Where the relay can't be asked, what a
  // phone has said is all that is known.
  function look(said) {
    asked += 1;
    const mine = asked;
    const believe = () => said && mine === asked && found(said, null);
    if (where.fetch === null) {
      believe();
      return;
    }
    const headers = { 'Accept-Encoding': 'identity', ...(secret ? { Authorization: `Bearer ${secret}` } : {}) };
    where.fetch(`${where.place.http}/bundles/${where.session}`, { method: 'HEAD', headers }).then(
      (answer) => {
        const [, sha256, coding] = ENTITY_TAG.exec(answer.headers.get('ETag') || '') || [];
        const size = coding ? null : Number(answer.headers.get('Content-Length')) || null;
        if (mine !== asked) return;
        if (answer.status === 200 && sha256) found(sha256, size);
        else believe();
      },
      believe,
    );
  }

  const reports = createPhoneReports({
    devices: options.onDevices,
    log: options.onLog,
    phoneConnected: options.onPhoneConnected,
    phoneDisconnected: options.onPhoneDisconnected,
    acknowledgement(acknowledgement) {
      onAcknowledgement(acknowledgement);
      const { success, sha256 } = acknowledgement;
      if (sha256 === null || sha256 !== known) look(success ? sha256 : null);
    },
  });

  const connection = joinSession(where, {
    role: 'dashboard',
    fields: () => ({}),
    query: () => ({}),
    credential: credentialOf({ secret }),
    channelPrefix: options.channelPrefix,
    pings: PINGS,
    timers,
    on: {
      up: () => look(null),
      message(message) {
        if (message.type === 'bundle_available') found(message.sha256, message.size);
        else if (!reports(message)) onMessage(message);
      },
      binary: options.onBinary || nothing,
      down: nothing,
      state: options.onState || nothing,
    },
  });

  return { isConnected: connection.isUp, close: connection.close };
}
