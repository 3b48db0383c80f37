// The lean forwarder again, on Bun's own WebSocket server (uWebSockets, C++).
const MIB = 1024 * 1024;
const PING = '{"type":"ping"';
const sessions = new Map(); // id -> { cli: Set, mobile: Set }

Bun.serve({
  hostname: '127.0.0.1',
  port: Number(process.argv[2]),
  fetch(request, server) {
    const [, role, id] = new URL(request.url).pathname.split('/');
    if (!id || (role !== 'cli' && role !== 'mobile')) return new Response('?', { status: 404 });
    let session = sessions.get(id);
    if (!session) sessions.set(id, (session = { cli: new Set(), mobile: new Set() }));
    const targets = role === 'cli' ? session.mobile : session.cli;
    if (server.upgrade(request, { data: { id, role, session, targets } })) return undefined;
    return new Response('WebSocket expected', { status: 426 });
  },
  websocket: {
    maxPayloadLength: 50 * MIB,
    backpressureLimit: 128 * MIB, // a whole bundle must fit: beyond it Bun drops messages
    closeOnBackpressureLimit: false,
    perMessageDeflate: false,
    idleTimeout: 0,
    sendPings: false,
    open(ws) {
      const { role, session } = ws.data;
      session[role].add(ws);
      ws.send(`{"type":"connected","clientType":"${role}","timestamp":${Date.now()}}`);
    },
    message(ws, data) {
      if (data.length < 128 && typeof data === 'string' && data.startsWith(PING)) {
        ws.send(`{"type":"pong","timestamp":${Date.now()}}`);
        return;
      }
      for (const target of ws.data.targets) target.send(data);
    },
    close(ws) {
      const { id, role, session } = ws.data;
      session[role].delete(ws);
      if (!session.cli.size && !session.mobile.size) sessions.delete(id);
    },
  },
});

console.log('ready');
