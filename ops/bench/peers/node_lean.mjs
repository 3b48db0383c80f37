// A lean forwarder on Node and ws: payloads go on as they came, nothing is parsed. Of the
// protocol it has the welcome, the answer to pings and the routing, no more. ws unmasks with
// the native bufferutil, unless WS_NO_BUFFER_UTIL is set.
import { WebSocketServer } from 'ws';

const LIMIT = 50 * 1024 * 1024;
const PING = Buffer.from('{"type":"ping"');
const sessions = new Map(); // id -> { cli: Set, mobile: Set }

const server = new WebSocketServer({
  host: '127.0.0.1', port: Number(process.argv[2]), maxPayload: LIMIT, perMessageDeflate: false,
});

server.on('connection', (ws, request) => {
  const [, role, id] = request.url.split('?')[0].split('/');
  if (!id || (role !== 'cli' && role !== 'mobile')) return ws.close(1008);
  let session = sessions.get(id);
  if (!session) sessions.set(id, (session = { cli: new Set(), mobile: new Set() }));
  const targets = role === 'cli' ? session.mobile : session.cli;
  session[role].add(ws);
  ws.send(`{"type":"connected","clientType":"${role}","timestamp":${Date.now()}}`);

  ws.on('message', (data, binary) => {
    if (data.length < 128 && data.subarray(0, PING.length).equals(PING)) {
      ws.send(`{"type":"pong","timestamp":${Date.now()}}`);
      return;
    }
    for (const target of targets) target.send(data, { binary });
  });
  ws.on('close', () => {
    session[role].delete(ws);
    if (!session.cli.size && !session.mobile.size) sessions.delete(id);
  });
  ws.on('error', () => ws.terminate());
});

server.on('listening', () => console.log('ready'));
