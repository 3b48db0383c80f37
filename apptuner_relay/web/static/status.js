// The status page: shows each status that arrives.

import { Charts } from './charts.js';
import { $, draw, make, setMetric, setRows, setText } from './dom.js';
import { clock, count, counted, day, duration, joined, memory, milliseconds, rate, traffic } from './format.js';
import { follow } from './live.js';
import { showManaged } from './managed.js';
import { showCluster } from './nodes.js';
import { refreshSessions } from './sessions.js';

const HIGH = 0.8; // of a limit
const DAYS_ON_A_PHONE = 7; // the style sheet hides more, until they are asked for

const charts = new Charts($('charts'), $('hour-rows'));
let shownRelease = null;
let shownMs = 0;
let sessions = null;

follow({
  onStatus: show,
  onLost: (why) => {
    document.body.dataset.link = 'lost';
    const since = shownMs ? ` The metrics are from ${clock(shownMs, true)}.` : '';
    $('lost').hidden = false;
    setText($('lost'), `${why}${since} Trying again…`);
    setText($('state'), 'Not connected');
  },
  // It shows the sign-in form then.
  onRefused: () => location.reload(),
});

$('all-days').addEventListener('click', () => $('day-table').setAttribute('data-all', ''));
$('sign-out').addEventListener('click', async () => {
  await fetch('api/logout', { method: 'POST' }).catch(() => null);
  location.reload();
});
// Only a browser that signed in can sign out: without a token there is nothing to sign out of.
fetch('api/login', { cache: 'no-store' }).then(async (answer) => {
  $('sign-out').hidden = !(answer.ok && (await answer.json()).signed_in);
}).catch(() => null);

function show(status) {
  const release = status.commit ? `${status.version} (${status.commit})` : status.version;
  if (shownRelease !== null && shownRelease !== release) location.reload();
  shownRelease = release;
  shownMs = Date.now();
  document.body.dataset.link = 'live';
  $('lost').hidden = true;
  showTop(status);
  showWarnings(status);
  showNow(status);
  showCluster(status);
  showManaged(status);
  charts.update(status.hour, status.now_ms);
  showToday(status.today);
  showDays([...status.days]);
  refreshSessions(status.sessions, sessions !== status.sessions);
  sessions = status.sessions;
}

function showTop(status) {
  setText($('node'), status.node);
  setText($('version'), `version ${shownRelease}`);
  setText($('uptime'), `up ${duration(status.uptime_s)}`);
  $('uptime').title = `since ${new Date(status.started_ms).toLocaleString()}`;
  setText($('updated'), `Updated ${clock(shownMs, true)}.`);
  const [state, text] = verdict(status);
  $('state').dataset.state = state;
  setText($('state'), text);
  document.title = `${state === 'ok' ? '' : '▲ '}${counted(status.sessions, 'session')} · AppTuner Relay`;
}

function verdict({ state, worries: warnings }) {
  if (state === 'draining') return ['draining', 'Draining'];
  if (state === 'degraded') return ['degraded', 'Degraded'];
  const serious = warnings.filter(({ level }) => level === 'warning').length;
  if (serious) return ['warning', counted(serious, 'warning')];
  if (warnings.length) return ['notice', counted(warnings.length, 'notice')];
  return ['ok', 'All well'];
}

function showWarnings({ state, reasons, worries: warnings, now_ms: nowMs }) {
  const items = warnings.map((warning) => ({
    key: warning.name, level: warning.level, text: warning.text,
    since: `since ${clock(warning.since_ms)} (${duration((nowMs - warning.since_ms) / 1000)})`,
  }));
  const shown = new Set(warnings.map((warning) => warning.text));
  for (const reason of reasons.filter((text) => !shown.has(text)).reverse()) {
    items.unshift({ key: reason, level: state, text: reason, since: '' });
  }
  $('warnings').hidden = !items.length;
  setRows($('warning-list'), items, (item) => `${item.level} ${item.key}`,
    () => make('li', {}, make('b'), make('span'), make('small')),
    (row, item) => {
      row.dataset.level = item.level;
      [capital(item.level), item.text, item.since].forEach((text, i) => setText(row.children[i], text));
    });
}

const capital = (word) => word[0].toUpperCase() + word.slice(1);

function showNow(status) {
  const { connections, total, last_minute: minute } = status;
  const clients = Object.values(connections).reduce((a, b) => a + b, 0);
  const today = status.today;
  setMetric($('sessions'), [count(status.sessions)]);
  setText($('sessions-note'), today ? `today at most ${count(today.peak_sessions)}` : '');
  setMetric($('connections'), [count(clients)]);
  setText($('connections-note'), roles(connections));
  setMetric($('sending'), rate(minute.bytes_out / 60));
  setText($('sending-note'), `${joined(traffic(minute.bytes_out))} in the last minute`);
  setMetric($('bundles'), [count(minute.bundles)]);
  setText($('bundles-note'), minute.bundles
    ? `${joined(traffic(minute.bundle_bytes))}, ${joined(traffic(minute.bundle_bytes / minute.bundles))} each`
    : `${count(total.bundles)} since start`);
  setMetric($('lag'), milliseconds(status.loop_lag_ms));
  setText($('lag-note'), 'how late work gets done');
  showGauge('memory', status.memory_bytes, status.memory_limit_bytes, memory);
  showGauge('descriptors', status.descriptors, status.descriptors_limit, (n) => [count(n)]);
  showSpool(status.spool);
  setMetric($('total'), traffic(total.bytes_out));
  setText($('total-note'), `${counted(total.bundles, 'bundle')}, ${joined(traffic(total.bytes_in))} in`);
}

function showSpool(spool) {
  if (spool && !spool.off) {
    showGauge('spool', spool.used_bytes, spool.limit_bytes, memory);
    setText($('spool-note'), `${counted(spool.bundles, 'bundle')}, ${$('spool-note').textContent}`);
    return;
  }
  setMetric($('spool'), ['none']);
  setText($('spool-note'), spool ? spool.off : 'off: --spool-dir');
  $('spool-gauge').toggleAttribute('hidden', true);
}

function roles({ cli, dashboard, desktop, mobile }) {
  const parts = [[mobile, 'phone'], [cli, 'CLI'], [dashboard, 'dashboard'], [desktop, 'desktop']];
  return parts.filter(([n]) => n).map(([n, name]) => counted(n, name).replace(' ', '\u00a0')).join(', ')
    || 'nobody';
}

function showGauge(name, value, limit, show) {
  setMetric($(name), show(value));
  const part = limit ? Math.min(1, value / limit) : 0;
  const share = part < 0.01 ? 'under 1%' : `${Math.round(part * 100)}%`;
  setText($(`${name}-note`), limit ? `${share} of ${show(limit).join('\u00a0')}` : 'no limit');
  const gauge = $(`${name}-gauge`);
  gauge.toggleAttribute('hidden', !limit);
  gauge.toggleAttribute('data-high', part >= HIGH);
  gauge.replaceChildren(draw('rect', { width: `${part * 100}%`, height: '100%' }));
}

function showToday(today) {
  if (!today) return;
  setText($('today-date'), `${day(today.date)}, UTC`);
  setMetric($('today-sessions'), [count(today.peak_sessions)]);
  setMetric($('today-connections'), [count(today.peak_connections)]);
  setMetric($('today-bundles'), [count(today.bundles)]);
  setMetric($('today-in'), traffic(today.bundle_bytes));
  setMetric($('today-out'), traffic(today.bytes_out));
  setMetric($('today-clients'), [count(today.connections)]);
}

const DAY_LABELS = ['Peak sessions', 'Peak conn.', 'Bundles', 'Data in', 'Sent', 'Clients'];

function showDays(days) {
  $('day-table').hidden = !days.length;
  $('no-days').hidden = days.length > 0;
  $('all-days').hidden = days.length <= DAYS_ON_A_PHONE;
  setRows($('day-rows'), days, (d) => d.date,
    (d) => make('tr', {}, make('th', { scope: 'row' }, make('time', { datetime: d.date }, day(d.date))),
      ...DAY_LABELS.map((label) => make('td', { 'data-label': label }, make('span')))),
    (row, d) => {
      const texts = [count(d.peak_sessions), count(d.peak_connections), count(d.bundles),
        joined(traffic(d.bundle_bytes)), joined(traffic(d.bytes_out)), count(d.connections)];
      texts.forEach((text, i) => setText(row.cells[i + 1].firstChild, text));
    });
}
