// A connection by a channel of a service that speaks the Pusher protocol: connects to the service,
// asks the relay to be let into the session's channel (POST /pusher/auth), and subscribes.

import { formOf } from './address.js';
import { createChannelOutbox } from './channel_outbox.js';
import { createChannelTalk, isRelay } from './channel_talk.js';
import { openWebSocket } from './web_socket.js';

const EVENT = 'client-apptuner';
const PING = '{"event":"pusher:ping","data":{}}';
const PONG = '{"event":"pusher:pong","data":{}}';
/** A channel without a relay is left after 1 to 5 s: the next relay may be on its way, and not all
 * clients are to come back at once. */
const ALONE_MS = [1000, 5000];
const GOODBYE_MS = 5000;

/**
 * What opens lines to a channel, for `keepConnection`. The relay's welcome, or whatever it says
 * first, is `on.up`.
 *
 * `service` is `parseChannelUrl`'s, `place` the relay's, `channel` the channel's name, `memory`
 * `createChannelMemory`'s; `fields()` is what the client says of itself to the relay.
 */
export function channelLine(options) {
  const { WebSocket, service, place, channel } = options;
  const host = service.webSocket === null ? place.webSocket : service.webSocket;
  const address = `${host}/app/${service.key}?protocol=7&client=apptuner-relay-js&version=0.2.0`;

  return (on) => {
    const { timers } = options;
    const relays = new Set();
    let talk = null;
    let isUp = false;
    let isOver = false;
    let isAsking = false;
    let complaint = '';
    let owesPong = false;
    let isLeaving = false;
    let alone = null;
    let goodbye = null;

    const outbox = createChannelOutbox({ send: (messages) => event(talk.say(messages)), timers });
    const socket = openWebSocket(WebSocket, address, null, {
      open: () => undefined,
      binary: () => undefined,
      text(text) {
        on.heard();
        heed(parse(text) || {});
      },
      down(ending) {
        over();
        const isRefusal = ending.code >= 4000 && ending.code < 4100;
        on.down({ ...ending, reason: ending.reason || complaint, final: isRefusal });
      },
    });

    function over() {
      isOver = true;
      outbox.stop();
      [alone, goodbye].forEach((timer) => timer !== null && timers.clearTimeout(timer));
      alone = goodbye = null;
    }

    function end(ending) {
      if (isOver) return;
      over();
      socket.drop();
      on.down({ code: 1006, reason: '', status: null, error: '', ...ending });
    }

    function event(data) {
      owesPong = true;
      // As an object: there are services that drop data that is a text.
      socket.send(JSON.stringify({ event: EVENT, channel, data }));
    }

    function heed(envelope) {
      const isMine = envelope.channel === channel;
      const data = typeof envelope.data === 'string' ? parse(envelope.data) : envelope.data;
      switch (envelope.event) {
        case 'pusher:connection_established':
          if (data && typeof data.socket_id === 'string' && !isAsking) ask(data.socket_id);
          break;
        case 'pusher:ping':
          socket.send(PONG);
          break;
        case 'pusher:pong':
          owesPong = false;
          if (isLeaving) leave();
          else on.pong();
          break;
        case 'pusher:error':
          complaint = String((data && data.message) || '');
          break;
        case 'pusher:subscription_error':
          if (isMine) end({ status: (data && Number(data.status)) || null, reason: errorOf(data) });
          break;
        case 'pusher_internal:subscription_succeeded':
          if (isMine) subscribed(data);
          break;
        case 'pusher_internal:member_added':
          if (isMine && data && isRelay(data.user_id)) {
            relays.add(data.user_id);
            if (alone !== null) timers.clearTimeout(alone);
            alone = null;
          }
          break;
        case 'pusher_internal:member_removed':
          if (isMine && data) removed(data.user_id);
          break;
        case EVENT:
          if (isMine && talk !== null) heard(envelope.user_id, data);
          break;
        default:
      }
    }

    function ask(socketId) {
      isAsking = true;
      letIn({ ...options, socketId }).then(
        (entry) => {
          if (isOver) return;
          const { userId, auth, channelData } = entry;
          const { session, memory } = options;
          talk = createChannelTalk({ session, userId, memory });
          const data = { channel, auth, channel_data: channelData };
          socket.send(JSON.stringify({ event: 'pusher:subscribe', data }));
        },
        (error) => {
          const { status = null, retryAfter = 0, message } = error;
          end({ status, retryAfter, reason: message });
        },
      );
    }

    function subscribed(data) {
      if (talk === null) return;
      const hash = (data && data.presence && data.presence.hash) || {};
      Object.keys(hash).filter(isRelay).forEach((userId) => relays.add(userId));
      event(talk.askForState());
    }

    function removed(userId) {
      if (!relays.delete(userId) || relays.size || alone !== null) return;
      const [least, most] = ALONE_MS;
      const reason = 'there is no relay in the channel any more';
      alone = timers.setTimeout(() => end({ reason }), least + (most - least) * Math.random());
    }

    function heard(sender, data) {
      const { messages, wantsState } = talk.hear(sender, data);
      messages.forEach((message) => {
        if (!isOver) take(message);
      });
      if (wantsState && !isOver) event(talk.askForState());
    }

    function take(message) {
      if (message.type === 'closed') {
        const [code, reason] = [Number(message.code) || 1006, String(message.reason || '')];
        end({ code, reason });
      } else if (message.type === 'state_wanted') {
        if (options.role === 'mobile') event(talk.tellState());
      } else {
        // A relay that took its channels over from another one welcomes nobody anew.
        if (!isUp) {
          isUp = true;
          on.up(message.type === 'connected' ? message : {});
        }
        if (message.type !== 'connected' && message.type !== 'pong') on.message(message);
      }
    }

    function leave() {
      over();
      socket.close();
    }

    return {
      send: (message) => outbox.add(message),
      ping: () => socket.send(PING),
      buffered: socket.buffered,
      // A service may lose an event that a Close follows at once: a pong says that it was passed on.
      close() {
        if (isOver || !isUp) return leave();
        outbox.flush();
        outbox.stop();
        if (!owesPong) return leave();
        isLeaving = true;
        socket.send(PING);
        goodbye = timers.setTimeout(leave, GOODBYE_MS);
        return undefined;
      },
      drop() {
        over();
        socket.drop();
      },
    };
  };
}

function letIn({ fetch, place, channel, session, role, fields, credential, socketId }) {
  const form = {
    ...fields(),
    ...(credential ? { [credential.name]: credential.value } : {}),
    socket_id: socketId,
    channel_name: channel,
    session,
    role,
  };
  const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
  return fetch(`${place.http}/pusher/auth`, { method: 'POST', headers, body: formOf(form) }).then(
    (answer) => answer.text().then((text) => readEntry(answer, parse(text) || {})),
    (error) => {
      throw new Error(`the relay could not be asked for the channel: ${error.message}`);
    },
  );
}

function readEntry({ status, headers }, answer) {
  if (status !== 200) {
    const hint = status === 404 || status === 413 ? ' (is it started with --managed?)' : '';
    const error = new Error(`${errorOf(answer)}${hint}`);
    error.status = status;
    error.retryAfter = 1000 * (Number(headers.get('Retry-After')) || 0);
    throw error;
  }
  const { auth, channel_data: channelData } = answer;
  const member = parse(channelData);
  if (typeof auth !== 'string' || member === null || typeof member.user_id !== 'string') {
    throw new Error('the answer of the relay about the channel cannot be read');
  }
  return { auth, channelData, userId: member.user_id };
}

function errorOf(answer) {
  return typeof (answer && answer.error) === 'string' ? answer.error : '';
}

function parse(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === 'object' ? value : null;
  } catch (error) {
    return null;
  }
}
