// A connection over the relay's own wire: one WebSocket, of which each text is one message.

import { queryOf } from './address.js';
import { headerPlace, openWebSocket } from './web_socket.js';

/** The message in a text; null where there is none, as no relay sends it. */
function readMessage(text) {
  let message = null;
  try {
    message = JSON.parse(text);
  } catch (error) {
    return null;
  }
  const isMessage = message !== null && typeof message === 'object' && typeof message.type === 'string';
  return isMessage ? message : null;
}

/**
 * What opens lines to a relay, for `keepConnection`.
 *
 * `place` is `parseRelayUrl`'s, `query()` gives the fields of the query string each time anew, and
 * `credential` is {name, value}: `key` with a secret, or `token` with a join token. It goes in
 * Authorization where the WebSocket takes header fields, else in the query string.
 */
export function relayLine({ WebSocket, place, role, session, query, credential }) {
  const hasHeaders = Boolean(credential) && headerPlace(WebSocket) !== null;
  const headers = hasHeaders ? { Authorization: `Bearer ${credential.value}` } : null;
  const shown = credential && !hasHeaders ? { [credential.name]: credential.value } : {};

  return (on) => {
    const address = `${place.webSocket}/${role}/${session}${queryOf({ ...query(), ...shown })}`;
    const socket = openWebSocket(WebSocket, address, headers, {
      open: () => undefined,
      binary(data) {
        on.heard();
        on.binary(data);
      },
      text(text) {
        on.heard();
        const message = readMessage(text);
        if (message === null) return;
        if (message.type === 'connected') on.up(message);
        else if (message.type === 'pong') on.pong();
        else on.message(message);
      },
      down: on.down,
    });
    return {
      send: (message) => socket.send(typeof message === 'string' ? message : JSON.stringify(message)),
      ping: () => socket.send(JSON.stringify({ type: 'ping', timestamp: Date.now() })),
      buffered: socket.buffered,
      close: socket.close,
      drop: socket.drop,
    };
  };
}
