// A phone played by the WebSocket that Node itself has (in 20 with --experimental-websocket). Says
// in JSON, one object a line, what it is granted, what it gets, and how it ends; it does nothing to
// end TCP itself.

const ws = new WebSocket(process.argv[2]);
const say = (what) => process.stdout.write(JSON.stringify(what) + '\n');
ws.onopen = () => say({ extensions: ws.extensions });
ws.onmessage = ({ data }) => {
  const { type, payload } = JSON.parse(data);
  say({ type, chars: payload?.code?.length });
};
ws.onerror = ({ message }) => say({ error: message ?? '' });
ws.onclose = ({ code, reason, wasClean }) => say({ code, reason, wasClean });
