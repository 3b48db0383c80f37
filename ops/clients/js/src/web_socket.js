// One WebSocket of whichever make: the browser's, React Native's, Node's, Bun's or npm's `ws`. They
// have addEventListener in common, but not how header fields are given, nor what they say of a
// refused handshake.

const STATUS = /(?:response|status|code)\D{0,30}?\b([45]\d\d)\b/i;

/**
 * How a WebSocket's constructor takes header fields: 'third' (as npm's `ws` and React Native do),
 * 'second' (in an object in place of the subprotocols, as Node and Bun do), or null where it takes
 * none, as in browsers.
 */
export function headerPlace(WebSocket, scope = globalThis) {
  if (WebSocket.WebSocketServer || WebSocket.Server) return 'third';
  if (scope.navigator && scope.navigator.product === 'ReactNative') return 'third';
  if (WebSocket !== scope.WebSocket) return null;
  const versions = (scope.process && scope.process.versions) || {};
  return versions.bun || versions.node ? 'second' : null;
}

/** The HTTP status in what an implementation says of a refused handshake; null where it doesn't. */
export function refusalStatus(text) {
  const found = STATUS.exec(String(text || ''));
  return found ? Number(found[1]) : null;
}

/**
 * Opens a WebSocket. `on.open()`, `on.text(string)`, `on.binary(ArrayBuffer)` and, once and last,
 * `on.down({code, reason, status, error})` are called. Nothing is called after `drop`.
 *
 * Returns {send(text), buffered(), close(), drop()}. `close` says goodbye and waits for `down`;
 * `drop` does not wait: a peer that is silent answers no Close.
 */
export function openWebSocket(WebSocket, url, headers, on) {
  let isOver = false;
  let status = null;
  let error = '';

  function down(code, reason) {
    if (isOver) return;
    isOver = true;
    on.down({ code, reason: reason || '', status, error });
  }

  const socket = construct(WebSocket, url, headers);
  socket.binaryType = 'arraybuffer';
  socket.addEventListener('open', () => isOver || on.open());
  socket.addEventListener('message', (event) => {
    if (isOver) return;
    if (typeof event.data === 'string') on.text(event.data);
    else on.binary(event.data);
  });
  socket.addEventListener('error', (event) => {
    error = String(event.message || '');
    status = refusalStatus(error);
  });
  socket.addEventListener('close', (event) => down(event.code, event.reason));

  return {
    send(text) {
      socket.send(text);
    },
    buffered: () => socket.bufferedAmount || 0,
    close() {
      socket.close(1000);
    },
    drop() {
      isOver = true;
      // npm's ws keeps TCP for half a minute while it waits for an answer.
      if (typeof socket.terminate === 'function') socket.terminate();
      else socket.close();
    },
  };
}

function construct(WebSocket, url, headers) {
  if (!headers) return new WebSocket(url);
  if (headerPlace(WebSocket) === 'second') return new WebSocket(url, { headers });
  // An empty list of subprotocols is a header field on iOS.
  return new WebSocket(url, undefined, { headers });
}
