import {
  checkSession,
  formOf,
  isChannelUrl,
  parseChannelUrl,
  parseRelayUrl,
  queryOf,
} from '../../../ops/clients/js/src/address.js';
import { channelName, sha256OfShort } from '../../../ops/clients/js/src/channel_name.js';
import { headerPlace, refusalStatus } from '../../../ops/clients/js/src/web_socket.js';
import { equal, isTrue } from './checks.js';

/** Whether it is refused as no address, with a text that repeats nothing of it. */
function isRefused(parse, text, secret = 'hush') {
  try {
    parse(text);
  } catch (error) {
    return error instanceof TypeError && !error.message.includes(secret);
  }
  return false;
}

export const addresses = {
  'a relay, in both of its forms'() {
    equal(parseRelayUrl('ws://127.0.0.1:3000'), {
      webSocket: 'ws://127.0.0.1:3000',
      http: 'http://127.0.0.1:3000',
    });
    equal(parseRelayUrl('https://Relay.example/path//').webSocket, 'wss://Relay.example/path');
    equal(parseRelayUrl('wss://[::1]:3000').http, 'https://[::1]:3000');
  },
  'what is no relay'() {
    ['', 'relay.example', 'ftp://relay', 'ws://', 'ws://a b', 'ws://u@h', 'ws://h?x=1', null].forEach((text) =>
      isTrue(isRefused(parseRelayUrl, text), String(text)),
    );
  },
  'a service'() {
    const places = {
      'pusher://k@soketi.example:6001/1': 'wss://soketi.example:6001',
      'pusher://k@soketi.example/1': 'wss://soketi.example:443',
      'pusher://k@127.0.0.1:6001/1': 'ws://127.0.0.1:6001',
      'pusher://k@localhost/1?tls=on&prefix=/at/': 'wss://localhost:443/at',
      'pusher://k@host/1?tls=off': 'ws://host:80',
      'pusher://k@[::1]:6001/1': 'ws://[::1]:6001',
      'pusher://k@pusher:eu/1': 'wss://ws-eu.pusher.com:443',
      'pusher://k@/1?cluster=mt1': 'wss://ws-mt1.pusher.com:443',
      'pusher://app.k@ably': 'wss://main.pusher.ably.net:443',
      'relay://k': null,
    };
    Object.keys(places).forEach((url) => {
      isTrue(isChannelUrl(url), url);
      equal(parseChannelUrl(url).webSocket, places[url], url);
    });
    equal(parseChannelUrl('pusher://app.k@ably').key, 'app.k');
    isTrue(!isChannelUrl('wss://relay'), 'a relay is no channel');
  },
  'what is no service'() {
    [
      'pusher://soketi:6001/1',
      'pusher://k:hush@soketi:6001/1',
      'pusher://k@soketi:0/1',
      'pusher://k@soketi:65536/1',
      'pusher://k@so keti/1',
      'pusher://k@pusher:EU/1',
      'pusher://k@soketi/1?tls=hush',
      'pusher://k@soketi/1?hush=1',
      'pusher://k@soketi/1?prefix=hush',
      'relay://k:hush',
      'relay://',
      'wss://relay',
    ].forEach((text) => isTrue(isRefused(parseChannelUrl, text), text));
  },
  'ids of sessions'() {
    equal(checkSession('ABC234'), 'ABC234');
    ['', 'a/b', 'é', 'a'.repeat(65), undefined].forEach((text) => isTrue(isRefused(checkSession, text), text));
  },
  'queries and forms have what has a value'() {
    equal(queryOf({ a: 1, b: null, c: undefined, d: '', e: 'ü&=' }), '?a=1&e=%C3%BC%26%3D');
    equal(queryOf({}), '');
    equal(formOf({ a: 'x y', b: 0 }), 'a=x%20y&b=0');
  },
  'the name of a channel'() {
    equal(
      sha256OfShort('abc'),
      'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    );
    equal(sha256OfShort(''), 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
    equal(
      sha256OfShort('a'.repeat(64)),
      'ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb',
    );
    isTrue(channelName('ABC234').startsWith('presence-apptuner.'), 'its prefix');
  },
  'how header fields are given'() {
    function Socket() {}
    function Ws() {}
    Ws.WebSocketServer = {};
    equal(headerPlace(Ws, {}), 'third');
    equal(headerPlace(Socket, { WebSocket: Socket }), null);
    equal(headerPlace(Socket, { WebSocket: Socket, process: { versions: { node: '24' } } }), 'second');
    equal(headerPlace(Socket, { WebSocket: Socket, process: { versions: { bun: '1' } } }), 'second');
    equal(headerPlace(Socket, { navigator: { product: 'ReactNative' } }), 'third');
    equal(headerPlace(Socket, { process: { versions: { node: '24' } } }), null);
  },
  'the status in what is said of a refused handshake'() {
    equal(refusalStatus('Unexpected server response: 401'), 401);
    equal(refusalStatus('Expected 101 status code: 403'), 403);
    equal(refusalStatus("Expected HTTP 101 response but was '503 Unavailable'"), 503);
    equal(refusalStatus('Received bad response code from server: 429.'), 429);
    ['Received network error or non-101 status code.', 'connect ECONNREFUSED 127.0.0.1:404', ''].forEach(
      (text) => equal(refusalStatus(text), null, text),
    );
  },
};
