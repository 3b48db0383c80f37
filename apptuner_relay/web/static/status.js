// The status page: puts each status that comes where it belongs.

import { Charts } from './charts.js';
import { $, draw, make, setFigure, setRows, setText } from './dom.js';
import { clock, count, counted, day, duration, joined, memory, milliseconds, rate, traffic } from './format.js';
import { follow } from './live.js';
import { showCluster } from './nodes.js';
import { refreshSessions } from './sessions.js';

const HIGH = 0.8; // of a limit
const DAYS_ON_A_PHONE = 7; // the style sheet hides more, until they are asked for

const charts = new Charts($('charts'), $('hour-rows'));
let version = null;
let shownMs = 0;
let sessions = null;

follow({
  onStatus: show,
  onLost: (why) => {
    document.body.dataset.link = 'lost';
    const since = shownMs ? ` The figures are from ${clock(shownMs, true)}.` : '';
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
  if (version !== null && version !== status.version) location.reload();
  version = status.version;
  shownMs = Date.now();
  document.body.dataset.link = 'live';
  $('lost').hidden = true;
  showTop(status);
  showWorries(status);
  showNow(status);
  showCluster(status);
  charts.update(status.hour, status.now_ms);
  showToday(status.today);
  showDays([...status.days]);
  refreshSessions(status.sessions, sessions !== status.sessions);
  sessions = status.sessions;
}

function showTop(status) {
  setText($('node'), status.node);
  setText($('version'), `version ${status.version}`);
  setText($('uptime'), `up ${duration(status.uptime_s)}`);
  $('uptime').title = `since ${new Date(status.started_ms).toLocaleString()}`;
  setText($('updated'), `Updated ${clock(shownMs, true)}.`);
  const [state, text] = verdict(status);
  $('state').dataset.state = state;
  setText($('state'), text);
  document.title = `${state === 'ok' ? '' : '▲ '}${counted(status.sessions, 'session')} · AppTuner Relay`;
}

function verdict({ state, worries }) {
  if (state === 'draining') return ['draining', 'Draining'];
  if (state === 'degraded') return ['degraded', 'Degraded'];
  const warnings = worries.filter((worry) => worry.level === 'warning').length;
  if (warnings) return ['warning', counted(warnings, 'warning')];
  if (worries.length) return ['notice', counted(worries.length, 'notice')];
  return ['ok', 'All well'];
}

function showWorries({ state, reasons, worries, now_ms: nowMs }) {
  const items = worries.map((worry) => ({
    key: worry.name, level: worry.level, text: worry.text,
    since: `since ${clock(worry.since_ms)} (${duration((nowMs - worry.since_ms) / 1000)})`,
  }));
  const told = new Set(worries.map((worry) => worry.text));
  for (const reason of reasons.filter((text) => !told.has(text)).reverse()) {
    items.unshift({ key: reason, level: state, text: reason, since: '' });
  }
  $('worries').hidden = !items.length;
  setRows($('worry-list'), items, (item) => `${item.level} ${item.key}`,
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
  setFigure($('sessions'), [count(status.sessions)]);
  setText($('sessions-note'), today ? `today at most ${count(today.peak_sessions)}` : '');
  setFigure($('connections'), [count(clients)]);
  setText($('connections-note'), roles(connections));
  setFigure($('sending'), rate(minute.bytes_out / 60));
  setText($('sending-note'), `${joined(traffic(minute.bytes_out))} in the last minute`);
  setFigure($('bundles'), [count(minute.bundles)]);
  setText($('bundles-note'), minute.bundles
    ? `${joined(traffic(minute.bundle_bytes))}, ${joined(traffic(minute.bundle_bytes / minute.bundles))} each`
    : `${count(total.bundles)} since start`);
  setFigure($('lag'), milliseconds(status.loop_lag_ms));
  setText($('lag-note'), 'how late work gets done');
  showGauge('memory', status.memory_bytes, status.memory_limit_bytes, memory);
  showGauge('descriptors', status.descriptors, status.descriptors_limit, (n) => [count(n)]);
  showSpool(status.spool);
  setFigure($('total'), traffic(total.bytes_out));
  setText($('total-note'), `${counted(total.bundles, 'bundle')}, ${joined(traffic(total.bytes_in))} in`);
}

function showSpool(spool) {
  if (spool && !spool.off) {
    showGauge('spool', spool.used_bytes, spool.limit_bytes, memory);
    setText($('spool-note'), `${counted(spool.bundles, 'bundle')}, ${$('spool-note').textContent}`);
    return;
  }
  setFigure($('spool'), ['none']);
  setText($('spool-note'), spool ? spool.off : 'off: --spool-dir');
  $('spool-gauge').toggleAttribute('hidden', true);
}

function roles({ cli, dashboard, desktop, mobile }) {
  const parts = [[mobile, 'phone'], [cli, 'CLI'], [dashboard, 'dashboard'], [desktop, 'desktop']];
  return parts.filter(([n]) => n).map(([n, name]) => counted(n, name).replace(' ', '\u00a0')).join(', ')
    || 'nobody';
}

function showGauge(name, value, limit, show) {
  setFigure($(name), show(value));
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
  setFigure($('today-sessions'), [count(today.peak_sessions)]);
  setFigure($('today-connections'), [count(today.peak_connections)]);
  setFigure($('today-bundles'), [count(today.bundles)]);
  setFigure($('today-in'), traffic(today.bundle_bytes));
  setFigure($('today-out'), traffic(today.bytes_out));
  setFigure($('today-came'), [count(today.connections)]);
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
