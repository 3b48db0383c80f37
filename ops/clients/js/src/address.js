// Where the relay is, and the managed service in front of it: reads the URLs that a client is given.
// React Native's URL class can't be relied on, so it isn't used.

const RELAY = /^(ws|wss|http|https):\/\/([^/?#@\s]+)((?:\/[^?#\s]*)?)$/i;
const SESSION = /^[A-Za-z0-9_-]{1,64}$/;
const KEY = /^[A-Za-z0-9._-]{1,128}$/;
const HOST = /^(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::([0-9]{1,5}))?$/;
const PATH = /^(\/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+$/;
const CLUSTER = /^[a-z][a-z0-9-]{0,31}$/;
const THIS_MACHINE = /^(localhost|.*\.localhost|127(\.\d{1,3}){3}|\[::1\])$/;
const ABLY = 'wss://main.pusher.ably.net:443';

/** Whether a URL names a channel: the wire of the Pusher protocol, of a service or of the relay. */
export function isChannelUrl(url) {
  return /^(pusher|relay):\/\//.test(url);
}

/**
 * The two forms of a relay's address: {webSocket, http}, without a slash at the end.
 * Throws TypeError for anything but ws://, wss://, http:// or https:// with a host.
 */
export function parseRelayUrl(url) {
  const found = RELAY.exec(String(url));
  if (!found) throw new TypeError('the URL of a relay is wss://HOST or ws://HOST:PORT');
  const secure = /^(wss|https)$/i.test(found[1]) ? 's' : '';
  const place = `${found[2]}${found[3].replace(/\/+$/, '')}`;
  return { webSocket: `ws${secure}://${place}`, http: `http${secure}://${place}` };
}

/** Returns the id of a session. Throws TypeError where it can't be one. */
export function checkSession(session) {
  if (typeof session !== 'string' || !SESSION.test(session)) {
    throw new TypeError('the id of a session is 1 to 64 of the characters A-Z a-z 0-9 _ -');
  }
  return session;
}

/** `?name=value&…` of the fields that have a value; '' of none. Values are percent-encoded. */
export function queryOf(fields) {
  const text = formOf(fields);
  return text && `?${text}`;
}

/** `name=value&…` of the fields that have a value: the body of an HTML form. */
export function formOf(fields) {
  return Object.keys(fields)
    .filter((name) => fields[name] !== undefined && fields[name] !== null && fields[name] !== '')
    .map((name) => `${name}=${encodeURIComponent(String(fields[name]))}`)
    .join('&');
}

/**
 * Where the channels of a managed service are: {key, webSocket}, for the URLs that the relay's
 * --managed takes. `webSocket` is null where the relay itself is the service.
 * Throws TypeError; its text repeats nothing of the URL, in which there may be a secret.
 */
export function parseChannelUrl(url) {
  const [, scheme, rest] = /^(pusher|relay):\/\/(.*)$/.exec(String(url)) || [];
  if (!scheme) throw new TypeError('the URL of a service is pusher://KEY@HOST:PORT/APP_ID');
  if (scheme === 'relay') return { key: checkKey(rest), webSocket: null };
  const [, key, host, query] = /^([^@/?]*)@([^/?]*)(?:\/[^?]*)?(?:\?(.*))?$/.exec(rest) || [];
  if (key === undefined) throw new TypeError('there is no key in front of an @ in the URL');
  checkKey(key);
  const options = readOptions(query || '');
  if (host === 'ably') return { key, webSocket: ABLY };
  const cluster = host.startsWith('pusher:') ? host.slice(7) : options.cluster;
  if (cluster !== undefined) {
    if (!CLUSTER.test(cluster)) throw new TypeError('that is no cluster of Pusher: try pusher:eu');
    return { key, webSocket: `wss://ws-${cluster}.pusher.com:443` };
  }
  return { key, webSocket: ownService(host, options) };
}

function ownService(text, options) {
  const [, host, port] = HOST.exec(text) || [];
  if (!host || (port !== undefined && !(port >= 1 && port <= 65535))) {
    throw new TypeError('the URL of a service needs a host, with a port or none: HOST:6001');
  }
  const tls = options.tls || (THIS_MACHINE.test(host) ? 'off' : 'on');
  if (tls !== 'on' && tls !== 'off') throw new TypeError('tls in the URL is on or off');
  const prefix = (options.prefix || '').replace(/\/+$/, '');
  if (prefix && !PATH.test(prefix)) throw new TypeError('prefix in the URL is a path: /path');
  const scheme = tls === 'on' ? 'wss' : 'ws';
  return `${scheme}://${host}:${port || (tls === 'on' ? 443 : 80)}${prefix}`;
}

function readOptions(query) {
  const options = {};
  query.split('&').filter(Boolean).forEach((field) => {
    const [name, value = ''] = field.split('=');
    if (!/^(cluster|events|prefix|tls)$/.test(name)) {
      throw new TypeError('the URL of a service takes cluster, events, prefix and tls behind a ?');
    }
    options[name] = value;
  });
  return options;
}

function checkKey(key) {
  if (key.includes(':')) {
    throw new TypeError('there is a secret behind the key in the URL: only the relay gets it');
  }
  if (!KEY.test(key)) throw new TypeError('a key in the URL is 1 to 128 of A-Z a-z 0-9 . _ -');
  return key;
}
