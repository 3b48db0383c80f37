// Clients of ops/clients/js that play what they are told: in Node and Bun by kit.mjs, which reads it
// from stdin, and in a browser by a page. tests/live/kit_clients.py says what to do.
//
// A request is {"op": …, "id": …, …}, and what happens is reported as {"event": …, "id": …, …}.

/** The code of a test: that many lines, some of them changed. `kit_clients.code_of` makes the same. */
export function codeOf({ lines, changed = {}, tail = '' }) {
  const made = [];
  for (let n = 0; n < lines; n += 1) made.push(changed[n] ?? `var line${n} = 'café 🚀 ${n % 97}';`);
  return `${made.join('\n')}\n${tail}`;
}

export function createPlayers({ kit, WebSocket, sha256, report }) {
  const players = new Map();

  const makers = {
    phone: (id, options) =>
      kit.connectPhone({
        ...options,
        have: options.have && { code: codeOf(options.have.code), sha256: options.have.sha256 },
        onBundle(code, about) {
          sha256(code).then((digest) => report({ event: 'bundle', id, digest, ...about }));
          const wrong = /fails with (\w+)/.exec(code);
          if (wrong) throw new TypeError(wrong[1]);
        },
        onLabel: (label) => report({ event: 'label', id, label }),
      }),
    cli: (id, options) =>
      kit.connectCli({
        ...options,
        onPhones: (devices) => report({ event: 'devices', id, devices }),
        onLog: (log) => report({ event: 'log', id, log }),
        onAcknowledgement: (ack) => report({ event: 'ack', id, ack }),
      }),
    dashboard: (id, options) =>
      kit.connectDashboard({
        ...options,
        onDevices: (devices) => report({ event: 'devices', id, devices }),
        onLog: (log) => report({ event: 'log', id, log }),
        onBundle: (bundle) => report({ event: 'bundle', id, ...bundle }),
        onAcknowledgement: (ack) => report({ event: 'ack', id, ack }),
      }),
  };

  const operations = {
    send({ id, code }) {
      players.get(id).send(codeOf(code)).then(
        (result) => report({ event: 'sent', id, ...result }),
        (error) => report({ event: 'unsent', id, error: error.message }),
      );
    },
    // A loop in an app, and what it says of itself.
    log({ id, flood = 0, level, args }) {
      for (let n = 0; n < flood; n += 1) players.get(id).log('log', 'flood', n, 'x'.repeat(200));
      players.get(id).log(level, ...args);
    },
    close({ id }) {
      players.get(id).close();
    },
  };

  return function handle({ op, id, ...request }) {
    if (makers[op] === undefined) {
      operations[op]({ id, ...request });
      return;
    }
    const shared = {
      WebSocket,
      onState: (state, { ending = null, delay = null }) =>
        report({ event: 'state', id, state, ending, delay }),
      onMessage: (message) => report({ event: 'message', id, message }),
    };
    players.set(id, makers[op](id, { ...shared, ...request }));
  };
}
