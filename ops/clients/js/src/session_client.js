// What all clients of a session have in common: which way they go in, and who they say they are.

import { checkSession, isChannelUrl, parseChannelUrl, parseRelayUrl } from './address.js';
import { channelLine } from './channel_line.js';
import { channelName } from './channel_name.js';
import { createChannelMemory } from './channel_talk.js';
import { keepConnection } from './connection.js';
import { relayLine } from './relay_line.js';

/** What a relay's log calls it: React Native and browsers let nobody set User-Agent. */
const AGENT = 'apptuner-relay-js/0.2.0';

/**
 * Where a client goes, out of the options that its user gave: {isChannel, place, session, service,
 * WebSocket, fetch}. Throws TypeError for what can't be right.
 */
export function readPlace({ url, relay, session, WebSocket, fetch }) {
  const scope = globalThis;
  const Socket = WebSocket || scope.WebSocket;
  if (typeof Socket !== 'function') {
    throw new TypeError('there is no WebSocket here: pass one, such as that of npm\'s ws');
  }
  // A browser's fetch wants to be called as a method of the page's window.
  const load = fetch || (typeof scope.fetch === 'function' && ((...given) => scope.fetch(...given)));
  const isChannel = isChannelUrl(url);
  if (isChannel && !relay) {
    throw new TypeError('a channel needs `relay`, the URL of the relay: it lets clients in');
  }
  if (isChannel && !load) throw new TypeError('a channel needs fetch, and there is none here');
  return {
    isChannel,
    place: parseRelayUrl(isChannel ? relay : url),
    service: isChannel ? parseChannelUrl(url) : null,
    session: checkSession(session),
    WebSocket: Socket,
    fetch: load || null,
  };
}

/**
 * Joins the session, and stays in it. `fields()` is what the client says of itself either way,
 * `query()` what it says beside it on the relay's own wire; `credential` is {name, value} or null.
 * The rest is `keepConnection`'s.
 */
export function joinSession(where, { role, fields, query, credential, channelPrefix, pings, on, timers }) {
  const { WebSocket, fetch, place, service, session } = where;
  const common = { WebSocket, place, role, session, credential };
  const said = () => ({ ...fields(), agent: AGENT });
  const open = where.isChannel
    ? channelLine({
        ...common,
        fetch,
        service,
        fields: said,
        channel: channelName(session, channelPrefix),
        memory: createChannelMemory(),
        timers: timers || globalThis,
      })
    : relayLine({ ...common, query: () => ({ ...said(), ...query() }) });
  return keepConnection({ open, pings, on, timers });
}

/** {name: 'key', value} of a session's secret, {name: 'token', value} of a join token, or null. */
export function credentialOf({ secret, token }) {
  if (secret) return { name: 'key', value: secret };
  return token ? { name: 'token', value: token } : null;
}
