// The health of the relay in one row: what it uses of what it may, as bars with the thresholds.

import { $, draw, make, setMetric, setText } from './dom.js';
import { count, counted, joined, memory, milliseconds, share } from './format.js';

const ROOM = 1.25; // of a bar without a limit of its own: so many times its threshold
const NEAR = 0.8; // of a limit that has no threshold
/** The warnings of each gauge. */
const WORRIES = { cpu: /^cpu/, lag: /^loop_lag/, memory: /^memory/, descriptors: /^descriptors/, spool: /^spool/ };

/**
 * The gauges of a status. `part` is how much of the bar is full, null for none; `marks` are the
 * thresholds on it, `[{level, at}]`; `level` is that of the highest threshold that is exceeded. A warning
 * begins only when that lasts: until then it is no more than a notice.
 */
export function gaugesOf(status) {
  const { capacity, spool, thresholds = {}, worries = [] } = status;
  const isWarned = (name) => worries.some((one) => one.level === 'warning' && WORRIES[name].test(one.name));
  return [
    cpu(capacity, thresholds.busy_share),
    lag(status.loop_lag_ms, thresholds.loop_lag_ms),
    limited('memory', 'Memory', status.memory_bytes, status.memory_limit_bytes, memory, thresholds.memory_bytes),
    limited('descriptors', 'File descriptors', status.descriptors, status.descriptors_limit, (n) => [count(n)], thresholds.descriptors),
    cached(spool),
  ].map((gauge) => (gauge.level === 'warning' && !isWarned(gauge.name) ? { ...gauge, level: 'notice' } : gauge));
}

function cpu(capacity, thresholds) {
  const busy = capacity?.busy_share ?? null;
  const note = capacity?.sessions ? `carries about ${counted(capacity.sessions, 'session')}` : 'of what it can take';
  return gauge('cpu', 'CPU', busy === null ? ['–'] : percent(busy), busy === null ? 'not measured' : note, busy, 1, thresholds);
}

function lag(ms, thresholds) {
  const limit = thresholds?.warning;
  const note = limit ? `${ms > limit ? '' : 'warns '}above ${joined(milliseconds(limit))}` : 'how late work gets done';
  return gauge('lag', 'Event-loop lag', milliseconds(ms), note, ms ?? null, limit ? limit * ROOM : null, thresholds);
}

function limited(name, title, value, limit, show, thresholds) {
  const note = limit ? `${share(value / limit)} of ${joined(show(limit))}` : 'no limit';
  return gauge(name, title, show(value), note, value ?? null, limit || null, thresholds ?? {});
}

function cached(spool) {
  const title = 'Cached bundles';
  if (!spool) return gauge('spool', title, ['none'], 'off: --spool-dir', null, null);
  if (spool.off) return { ...gauge('spool', title, ['none'], spool.off, null, null), level: 'warning' };
  const { used_bytes: used, limit_bytes: limit, bundles } = spool;
  const note = `${counted(bundles, 'bundle')}, ${share(used / limit)} of ${joined(memory(limit))}`;
  return { ...gauge('spool', title, memory(used), note, used, limit, {}), level: used > NEAR * limit ? 'notice' : null };
}

function gauge(name, title, shown, note, value, full, thresholds = {}) {
  const known = Object.entries(thresholds ?? {}).filter(([, at]) => typeof at === 'number' && at > 0)
    .sort(([, a], [, b]) => a - b);
  const exceeded = value === null ? [] : known.filter(([, at]) => value > at);
  return {
    name, title, shown, note,
    part: value === null || !full ? null : Math.min(1, value / full),
    marks: full ? known.map(([level, at]) => ({ level, at: Math.min(1, at / full) })) : [],
    level: exceeded.at(-1)?.[0] ?? null,
  };
}

function percent(part) {
  const value = part * 100;
  return [value > 0 && value < 1 ? '<1' : String(Math.round(value)), '%'];
}

export function showHealth(status) {
  const row = $('health-row');
  gaugesOf(status).forEach((gauge, i) => update(row.children[i] ?? create(row, gauge), gauge));
}

function create(row, { name, title }) {
  const root = make('div', { 'data-gauge': name },
    make('dt', {}, title),
    make('dd', {}, make('b', { id: `${name}-value` }), draw('svg', { class: 'gauge', 'aria-hidden': 'true' }), make('small', { id: `${name}-note` })));
  row.append(root);
  return root;
}

function update(root, { shown, note, part, marks, level }) {
  const [value, svg, small] = root.lastChild.children;
  root.dataset.level = level ?? '';
  setMetric(value, shown);
  setText(small, level === 'warning' ? `▲ ${note}` : note);
  svg.toggleAttribute('data-empty', part === null);
  const drawn = `${part} ${JSON.stringify(marks)}`;
  if (svg.dataset.drawn === drawn) return;
  svg.dataset.drawn = drawn;
  const at = (x) => `${(100 * x).toFixed(2)}%`;
  svg.replaceChildren(
    draw('rect', { class: 'full', width: '100%', height: 6, y: 2, rx: 3 }),
    draw('rect', { class: 'used', width: at(part ?? 0), height: 6, y: 2, rx: 3 }),
    ...marks.map((mark) => draw('line', { class: 'mark', 'data-level': mark.level, x1: at(mark.at), x2: at(mark.at), y1: 0, y2: 10 })),
  );
}
