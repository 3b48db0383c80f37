// What the relay remembers, as charts need it: the samples of an hour and of a day, and 30 days.
// Pure.

import { clock, count, day, joined, milliseconds, rate, seconds, share, traffic } from './format.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const LEAST_MS = 60_000; // of a chart: a relay that has just started has no longer history
const MOST_DAYS = 30;
/** The columns of samples of a relay that names none. */
const COLUMNS = ['at_ms', 'sessions', 'connections', 'bytes_per_s', 'loop_lag_ms'];

const lag = (ms) => joined(milliseconds(ms));
const speed = (bytes) => joined(rate(bytes));
const amount = (bytes) => joined(traffic(bytes));
const wait = (s) => joined(seconds(s));

/**
 * The charts of samples. `column` is what each shows, `least` the lowest top of its axis, `figure` what
 * the thresholds of the status call it. What is there now and then only is drawn as dots
 * or as stems.
 */
const lines = (step) => [
  { name: 'sessions', title: 'Sessions', column: 'sessions', show: count, least: 4, figure: 'sessions' },
  { name: 'sending', title: 'Sending', column: 'bytes_per_s', show: speed, least: 1e5 },
  { name: 'reload', title: 'Reload time', column: 'reload_s', show: wait, least: 0.2, isDots: true },
  { name: 'bundles', title: `Bundles in ${step}`, column: 'bundles', show: count, least: 4, isStems: true },
  { name: 'cpu', title: 'CPU', column: 'busy_share', show: share, least: 0.1, figure: 'busy_share' },
  { name: 'lag', title: 'Event-loop lag', column: 'loop_lag_ms', show: lag, least: 20, figure: 'loop_lag_ms' },
];
/** The charts of days. */
const BARS = [
  { name: 'sessions', title: 'Peak sessions', column: 'peak_sessions', show: count, least: 4, figure: 'sessions' },
  { name: 'sending', title: 'Sent', column: 'bytes_out', show: amount, least: 1e6 },
  { name: 'reload', title: 'Reload time, median', column: 'reload_s', show: wait, least: 0.2 },
  { name: 'bundles', title: 'Bundles', column: 'bundles', show: count, least: 4 },
  { name: 'failed', title: 'Failed acknowledgements', column: 'failed', show: count, least: 4 },
  { name: 'clients', title: 'Clients connected', column: 'connections', show: count, least: 4 },
];

export const RANGES = [
  {
    name: 'hour', label: '1 h', title: 'the last hour', ms: HOUR_MS, gapMs: 25_000, tableMs: HOUR_MS / 12, charts: lines('10 s'),
  },
  {
    name: 'day', label: '24 h', title: 'the last 24 hours', ms: DAY_MS, gapMs: 11 * 60_000, tableMs: HOUR_MS, charts: lines('5 min'),
  },
  {
    name: 'month', label: '30 d', title: 'the last 30 days', ms: MOST_DAYS * DAY_MS, charts: BARS, isBars: true,
  },
];

/**
 * The history of a range: its points, oldest first, each with the time `ms`, and the time that the
 * charts show. That begins where the relay does: there is nothing to see before.
 */
export function historyOf(status, name) {
  const range = RANGES.find((one) => one.name === name) ?? RANGES[0];
  return range.isBars ? days(status, range) : samples(status, range);
}

function samples(status, range) {
  const rows = status[range.name];
  const columns = status.columns ?? COLUMNS;
  const endMs = status.now_ms;
  const points = (rows ?? [])
    .map((row) => Object.fromEntries(columns.map((column, i) => [column, row[i]])))
    .map((point) => ({ ...point, ms: point.at_ms }))
    .filter(({ ms }) => ms >= endMs - range.ms && ms <= endMs);
  // A relay whose clock was put right may have samples from before its start.
  const beganMs = Math.min(status.started_ms ?? endMs, points[0]?.ms ?? endMs);
  const startMs = Math.max(endMs - range.ms, Math.min(beganMs, endMs - LEAST_MS));
  return {
    range, points, startMs, endMs, charts: withData(range.charts, points), isKnown: Array.isArray(rows), isWhole: startMs <= endMs - range.ms,
  };
}

function days({ month, days: past, today, now_ms: nowMs }, range) {
  const known = month ?? [...(past ?? []).slice(0, MOST_DAYS - 1).reverse(), ...(today ? [today] : [])];
  const points = known
    .map((one) => ({ ...one, ms: Date.parse(`${one.date}T00:00:00Z`), reload_s: one.reloads ? one.reload_median_ms / 1000 : null }))
    .filter(({ ms }) => ms > nowMs - range.ms);
  const startMs = points[0]?.ms ?? nowMs;
  const endMs = (points.at(-1)?.ms ?? nowMs) + DAY_MS;
  return {
    range, points, startMs, endMs, charts: withData(range.charts, points), dayMs: DAY_MS, isKnown: Boolean(month || past || today), isWhole: endMs - startMs >= range.ms,
  };
}

/** The charts for which the relay has figures: an older one has fewer. */
const withData = (charts, points) => charts.filter(({ column }) => !points.length || points.some((point) => point[column] !== undefined));

/** The value of a point in a chart; null where there was nothing to measure. */
export const valueOf = ({ column }, point) => point[column] ?? null;

/** The time of a point, as people say it. */
export const when = ({ range }, point) => (range.isBars ? day(point.date) : clock(point.ms));

/** The history as a table: names of columns, and rows of texts, newest first. */
export function tableOf(history) {
  return history.range.isBars ? dayTable(history) : sampleTable(history);
}

function dayTable({ points }) {
  return {
    head: ['Day', 'Peak sessions', 'Peak connections', 'Clients', 'Bundles', 'Bundle data in', 'Sent', 'Reload time, median', 'Failed'],
    rows: [...points].reverse().map((d) => [day(d.date), count(d.peak_sessions), count(d.peak_connections), count(d.connections),
      count(d.bundles), amount(d.bundle_bytes), amount(d.bytes_out), wait(d.reload_s), count(d.failed)]),
  };
}

function sampleTable({ range, points }) {
  const rows = new Map();
  for (const point of points) {
    const start = Math.floor(point.ms / range.tableMs) * range.tableMs;
    rows.set(start, [...(rows.get(start) ?? []), point]);
  }
  const all = (some, column) => some.map((point) => point[column]).filter((value) => typeof value === 'number');
  const most = (some, column) => { const values = all(some, column); return values.length ? Math.max(...values) : null; };
  const sum = (some, column) => { const values = all(some, column); return values.length ? values.reduce((a, b) => a + b) : null; };
  return {
    head: ['From', 'Most sessions', 'Most connections', 'Bundles', 'Sending, on average', 'Slowest reload', 'Failed', 'Most CPU', 'Longest lag'],
    rows: [...rows].reverse().map(([start, some]) => [clock(start), count(most(some, 'sessions')), count(most(some, 'connections')),
      count(sum(some, 'bundles')), speed(sum(some, 'bytes_per_s') / some.length), wait(most(some, 'reload_s')),
      count(sum(some, 'failed')), share(most(some, 'busy_share')), lag(most(some, 'loop_lag_ms'))]),
  };
}

/** The thresholds of a chart: `[{level, value}]`, lowest first. */
export function thresholdsOf(status, chart) {
  return Object.entries(status.thresholds?.[chart.figure] ?? {})
    .filter(([, value]) => typeof value === 'number')
    .map(([level, value]) => ({ level, value }))
    .sort((a, b) => a.value - b.value);
}
