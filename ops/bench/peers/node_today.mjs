// Today's behaviour of the relay, in a few lines: every message is parsed, routed by its
// type and printed again for each target.
import { createHash } from 'node:crypto';
import { WebSocketServer } from 'ws';

const LIMIT = 50 * 1024 * 1024;
const sessions = new Map(); // id -> { cli, mobiles: [] }
const say = (ws, message) => ws?.readyState === 1 && ws.send(JSON.stringify(message));

const server = new WebSocketServer({
  host: '127.0.0.1', port: Number(process.argv[2]), maxPayload: LIMIT,
});

function leave(id, session, ws) {
  if (session.cli === ws) session.cli = null;
  session.mobiles = session.mobiles.filter((mobile) => mobile !== ws);
  if (!session.cli && !session.mobiles.length) sessions.delete(id);
}

server.on('connection', (ws, request) => {
  const [, role, id] = request.url.split('?')[0].split('/');
  if (!id || (role !== 'cli' && role !== 'mobile')) return ws.close(1008);
  const session = sessions.get(id) ?? { cli: null, mobiles: [] };
  sessions.set(id, session);
  const sessionId = createHash('sha256').update(id).digest('hex');
  say(ws, { type: 'connected', sessionId, clientType: role, timestamp: Date.now() });
  if (role === 'cli') {
    session.cli?.close(1000, 'New CLI connected for this project');
    session.cli = ws;
  } else {
    session.mobiles.push(ws);
    say(session.cli, { type: 'mobile_connected', timestamp: Date.now() });
  }

  ws.on('message', (data) => {
    let message;
    try {
      message = JSON.parse(data.toString());
    } catch {
      return say(ws, { type: 'error', error: 'Invalid JSON', timestamp: Date.now() });
    }
    switch (message.type) {
      case 'ping':
        say(ws, { type: 'pong', timestamp: Date.now() });
        break;
      default:
        if (role === 'mobile') say(session.cli, message);
        else for (const mobile of session.mobiles) say(mobile, message);
    }
  });
  ws.on('close', () => leave(id, session, ws));
  ws.on('error', () => ws.terminate());
});

server.on('listening', () => console.log('ready'));
