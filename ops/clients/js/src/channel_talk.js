// What a client hears and says in its session's channel: messages of the wire, in numbered events.
// A service delivers at most once; what is lost shows in the numbers, and then the relay is asked for
// the state, which has all that matters. Pure.

const EPOCH = /^[0-9a-f]{8}$/;
const SHA256 = /^[0-9a-f]{64}$/;

/** Whether a `user_id` is a relay's. */
export function isRelay(userId) {
  return String(userId).startsWith('relay:');
}

/** The epoch of a sender that begins anew: 8 hex digits. */
export function newEpoch(random = Math.random) {
  return `0000000${Math.floor(random() * 0x100000000).toString(16)}`.slice(-8);
}

/** What outlives one subscription: the last acknowledgement, and the bundle told of last. */
export function createChannelMemory() {
  return { ack: null, announced: null };
}

/**
 * One subscription, of the client that is `userId` in the channel.
 *
 * `hear(sender, data)` returns {messages, wantsState}: the messages in an event that are for this
 * client, and whether one was lost. `say(messages)` returns the data of an event, which has to be
 * sent, and once.
 */
export function createChannelTalk({ session, userId, memory, epoch = newEpoch() }) {
  const side = userId.startsWith('mobile:') ? 'phones' : 'desktop';
  const heard = new Map();
  let said = 0;

  function hear(sender, data) {
    const nothing = { messages: [], wantsState: false };
    // What a service publishes over HTTP has no sender.
    if (sender !== undefined && sender !== null && !isRelay(sender)) return nothing;
    if (!isEvent(data)) return nothing;
    const key = String(sender);
    const before = heard.get(key);
    const isSame = before !== undefined && before.epoch === data.epoch;
    if (isSame && data.n <= before.n) return nothing;
    // What was said before this client came is none of its loss.
    const wantsState = heard.size > 0 && !(isSame && data.n === before.n + 1);
    heard.set(key, { epoch: data.epoch, n: data.n });
    const isMine = data.to === side || (Array.isArray(data.to) && data.to.includes(userId));
    const messages = isMine ? data.messages.filter(isMessage) : [];
    return { messages: [].concat(...messages.map(read)), wantsState };
  }

  function read(message) {
    if (message.type === 'bundle_available') return announced(message);
    if (message.type !== 'state') return [message];
    const found = [];
    if (Array.isArray(message.devices)) found.push({ type: 'device_list', devices: message.devices });
    const bundle = message.bundle;
    if (bundle && typeof bundle === 'object' && bundle.sha256 !== memory.announced) {
      found.push(...announced(bundle));
    }
    return found;
  }

  // Every relay has a bundle at its own address. No other one is believed: a service could say any,
  // and would learn the session's id there.
  function announced({ sha256, size, timestamp }) {
    if (typeof sha256 !== 'string' || !SHA256.test(sha256)) return [];
    memory.announced = sha256;
    const url = `/bundles/${session}/${sha256}`;
    return [{ type: 'bundle_available', url, sha256, size, timestamp }];
  }

  function say(messages) {
    said += 1;
    messages.forEach((message) => {
      if (message.type === 'bundle_ack') memory.ack = message;
    });
    return { epoch, n: said, messages };
  }

  return {
    hear,
    say,
    askForState: () => say([{ type: 'state_wanted' }]),
    tellState: () => say([{ type: 'state', ack: memory.ack }]),
  };
}

function isEvent(data) {
  return (
    data !== null && typeof data === 'object' && EPOCH.test(data.epoch) &&
    Number.isSafeInteger(data.n) && data.n >= 1 && Array.isArray(data.messages)
  );
}

function isMessage(message) {
  return message !== null && typeof message === 'object' && typeof message.type === 'string';
}
