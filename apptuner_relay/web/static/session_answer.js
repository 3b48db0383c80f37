// Why did my phone not reload? The answer, made of the state of a session. It touches no document.

import { phoneName, roleOf } from './client_words.js';
import { counted, joined, listed, milliseconds, traffic } from './format.js';

const SENDERS = ['cli', 'dashboard', 'desktop', 'upload'];
const REACHED = ['sent', 'acknowledged', 'failed'];
const ON_THE_WAY = ['waiting', 'getting'];

/** What a client is called: a phone's name, or its role. */
export function nameOf(client) {
  return client.name || client.deviceId || !client.role ? phoneName(client) : roleOf(client.role);
}

/** 0.48 → "480 ms". */
export const seconds = (s) => joined(milliseconds(s * 1000));

/** 9300000 → "9.3 MB". */
export const bytes = (n) => joined(traffic(n));

/** The headline, what to say of it, how grave it is, and the steps: { tone, headline, detail, code, steps }. */
export function answerOf(state) {
  const { clients, bundles } = state;
  const phones = clients.filter(({ role }) => role === 'mobile');
  const bundle = bundles[0] ?? null;
  const facts = { state, phones, bundle, rows: latest(bundle?.phones ?? []), isOver: bundle?.settled ?? true };
  const steps = [sending(facts), connected(facts), arrived(facts), reached(facts), acknowledged(facts)];
  return { ...headlineOf(facts, steps), steps };
}

/** What is said of a session that nobody is in. */
export const nobodyThere = () => answerOf({ clients: [], bundles: [], kept: null, tokens: false });

function sending({ state, bundle }) {
  const there = state.clients.filter(({ role }) => SENDERS.includes(role));
  const clis = there.filter(({ role }) => role === 'cli').length;
  const title = 'Sender connected';
  if (clis > 1) {
    return step(title, 'done', `${clis} CLIs of this project, and each sends its bundles to the phones.`);
  }
  if (there.length) return step(title, 'done', sentence(there.map(({ role }) => roleOf(role))));
  if (bundle) {
    return step(title, 'missing', 'Nobody is here now who sends bundles: changes reach no phone until the CLI is back.');
  }
  return step(title, 'missing', 'Start the CLI in the project, and compare its session id and relay with this page’s. Capital and small letters differ.');
}

function connected({ state, phones }) {
  const title = 'Phone connected';
  if (phones.length) {
    return step(title, 'done', list(phones.map(nameOf)));
  }
  return step(title, 'missing', state.tokens
    ? 'Scan the QR code of this page: phones need its join token, which expires. The phone has to reach this relay.'
    : 'Scan the QR code of this page. The phone has to reach this relay: the same network, no VPN, the app in front.');
}

function arrived({ state, bundle }) {
  const title = 'Bundle arrived whole';
  if (!bundle) {
    return step(title, 'missing', state.kept
      ? 'None since the relay began to note them, but one is cached: send it again.'
      : 'None has come within the last hour. Save a file; the CLI also sends one when a phone connects.');
  }
  const size = bytes(bundle.bytes);
  if (bundle.state === 'arriving') return step(title, 'now', `${size} so far`);
  if (bundle.state === 'cut') {
    return step(title, 'failed', `It was cut off after ${size}: ${bundle.why ?? 'its sender was lost'}. The sender has to send it again.`);
  }
  const took = bundle.in_s === null ? '' : ` in ${seconds(bundle.in_s)}`;
  return step(title, 'done', `${size}${took}`);
}

function reached({ bundle, rows, phones, isOver }) {
  const title = 'Sent to every phone';
  if (!bundle || (!rows.length && !phones.length)) return step(title, 'later', '');
  const behind = rows.filter(({ state }) => ON_THE_WAY.includes(state));
  const lost = rows.filter(({ state }) => state === 'cut');
  const left = rows.filter(({ state }) => state === 'left');
  const without = withoutIt(phones, rows);
  if (lost.length) return step(title, 'failed', `${list(lost.map(nameOf))}: ${lost[0].why ?? 'the connection was cut'}. It gets a bundle when it comes back.`);
  if (behind.length) {
    const [first] = behind;
    return step(title, 'now', isOver && first.state === 'waiting'
      ? `${subject(behind, 'has', 'have')} not taken the first byte yet: a slow network, or a frozen app.`
      : `${subject(behind, 'is', 'are')} getting it.`);
  }
  if (without.length) {
    return step(title, 'missing', `${list(without.map(nameOf))} came after it: send it again.`);
  }
  if (left.length && left.length === rows.length) {
    return step(title, 'missing', `${list(left.map(nameOf))} left before all of it was there.`);
  }
  const longest = bundle.last_out_s;
  return step(title, 'done', longest === null ? '' : `after ${seconds(longest)}`);
}

function acknowledged({ bundle, rows, isOver }) {
  const title = 'Acknowledged';
  const those = rows.filter(({ state }) => REACHED.includes(state));
  if (!bundle || !those.length) return step(title, 'later', '');
  const failed = those.filter(({ state }) => state === 'failed');
  const silent = those.filter(({ state }) => state === 'sent');
  if (failed.length) return step(title, 'failed', `${list(failed.map(nameOf))} could not run it.`);
  if (silent.length && !isOver) return step(title, 'now', `${subject(silent, 'has', 'have')} it, but no answer came yet.`);
  if (silent.length) {
    return step(title, 'missing', `${subject(silent, 'has', 'have')} not answered: the app is in the background, has crashed, or is too old to say.`);
  }
  return step(title, 'done', bundle.acknowledged_s === null ? '' : `after ${seconds(bundle.acknowledged_s)}`);
}

function headlineOf({ state, phones, bundle, rows }, steps) {
  const [, phone, whole, sent, answered] = steps;
  const failed = rows.filter((row) => row.state === 'failed');
  if (failed.length) {
    const well = rows.filter((row) => row.state === 'acknowledged');
    const others = well.length ? `${subject(well, 'runs', 'run')} it. ` : '';
    return verdict('bad', `${list(failed.map(nameOf))} got the last bundle and could not run it`,
      `${others}${nameOf(failed[0])} says:`, failed[0].error ?? 'nothing more');
  }
  if (whole.state === 'failed') return verdict('bad', 'The last bundle did not arrive whole', whole.hint);
  if (!state.clients.length && !bundle && !state.kept) {
    return verdict('doubt', 'Nobody is in this session', 'No CLI, no phone and no bundle. Is it this id, and this relay?');
  }
  if (phone.state === 'missing') return verdict('doubt', 'No phone is connected', phone.hint);
  if (sent.state === 'failed') return verdict('bad', 'A phone lost the bundle on its way', sent.hint);
  if (whole.state === 'missing') return verdict('waiting', 'No bundle has come yet', whole.hint);
  if (whole.state === 'now') return verdict('waiting', 'A bundle is arriving', whole.hint);
  if (sent.state === 'now') return verdict('waiting', 'The bundle is on its way', sent.hint);
  if (sent.state === 'missing') return verdict('doubt', 'A phone has not got the last bundle', sent.hint);
  if (answered.state === 'now') return verdict('waiting', 'Waiting for the acknowledgement', answered.hint);
  if (answered.state === 'missing') return verdict('doubt', 'A phone has the last bundle, but did not say that it runs', answered.hint);
  if (answered.state === 'later') return verdict('doubt', 'Nobody has the last bundle yet', 'Send it again.');
  const all = phones.length === 2 ? 'Both' : `All ${phones.length}`;
  const who = phones.length === 1 ? `${nameOf(phones[0])} runs` : `${all} phones run`;
  const time = bundle.acknowledged_s === null ? '' : `It took ${seconds(bundle.acknowledged_s)} from the first byte to the last acknowledgement.`;
  return verdict('ok', `${who} the last bundle`, time);
}

/** The last row of each phone: one that came back, or was sent the bundle again, has several. */
export function latest(rows) {
  return [...new Map(rows.map((row) => [row.deviceId, row])).values()];
}

/** The phones that are here and have no part in the bundle. */
function withoutIt(phones, rows) {
  const got = new Set(rows.map(({ deviceId }) => deviceId));
  return phones.filter(({ deviceId }) => !got.has(deviceId));
}

const step = (title, state, hint) => ({ title, state, hint });
const verdict = (tone, headline, detail, code = '') => ({ tone, headline, detail, code });

/** "A", "A and B", "A, B and 3 more". */
export function list(names) {
  const shown = names.length > 3 ? [...names.slice(0, 2), `${names.length - 2} more`] : names;
  return listed(shown);
}

/** "Pixel 9 has", "Pixel 9 and iPhone 15 have". */
const subject = (phones, one, many) => `${list(phones.map(nameOf))} ${phones.length === 1 ? one : many}`;

function sentence(names) {
  const counts = new Map();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return list([...counts].map(([name, n]) => (n === 1 ? name : counted(n, name))));
}
