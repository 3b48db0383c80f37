// What the relay remembers, as charts need it: the samples of an hour and of a day, and 30 days.
// Pure.

import { clock, count, day, joined, milliseconds, rate, traffic } from './format.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const LEAST_MS = 120_000; // of a chart: a relay that has just started has no longer history
const MOST_DAYS = 30;

const lag = (ms) => joined(milliseconds(ms));
const speed = (bytes) => joined(rate(bytes));
const amount = (bytes) => joined(traffic(bytes));

/** The charts of samples. `value` reads one; `least` is the lowest top of its axis. */
const LINES = [
  { name: 'sessions', title: 'Sessions', what: 'sessions', show: count, least: 4, value: (p) => p.sessions, figure: 'sessions' },
  { name: 'sending', title: 'Sending', what: 'sent a second', show: speed, least: 1e5, value: (p) => p.sending },
  { name: 'lag', title: 'Event-loop lag', what: 'of lag', show: lag, least: 20, value: (p) => p.lag, figure: 'loop_lag_ms' },
];
/** The charts of days. */
const BARS = [
  { name: 'sessions', title: 'Peak sessions', what: 'sessions at once', show: count, least: 4, value: (d) => d.peak_sessions, figure: 'sessions' },
  { name: 'bundles', title: 'Bundles', what: 'bundles', show: count, least: 4, value: (d) => d.bundles },
  { name: 'sent', title: 'Sent', what: 'sent', show: amount, least: 1e6, value: (d) => d.bytes_out },
];

export const RANGES = [
  {
    name: 'hour', label: '1 h', title: 'the last hour', ms: HOUR_MS, gapMs: 25_000, tableMs: HOUR_MS / 12, charts: LINES,
  },
  {
    name: 'day', label: '24 h', title: 'the last 24 hours', ms: DAY_MS, gapMs: 11 * 60_000, tableMs: HOUR_MS, charts: LINES,
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
  const endMs = status.now_ms;
  const points = (rows ?? [])
    .map(([ms, sessions, connections, sending, lagMs]) => ({ ms, sessions, connections, sending, lag: lagMs }))
    .filter(({ ms }) => ms >= endMs - range.ms && ms <= endMs);
  // A relay whose clock was put right may have samples from before its start.
  const beganMs = Math.min(status.started_ms ?? endMs, points[0]?.ms ?? endMs);
  const startMs = Math.max(endMs - range.ms, Math.min(beganMs, endMs - LEAST_MS));
  return { range, points, startMs, endMs, isKnown: Array.isArray(rows), isWhole: startMs <= endMs - range.ms };
}

function days({ days: past, today, now_ms: nowMs }, range) {
  const known = [...(past ?? []).slice(0, MOST_DAYS - 1).reverse(), ...(today ? [today] : [])];
  const at = ({ date }) => Date.parse(`${date}T00:00:00Z`);
  const points = known.map((one) => ({ ...one, ms: at(one) })).filter(({ ms }) => ms > nowMs - range.ms);
  const startMs = points[0]?.ms ?? nowMs;
  const endMs = (points.at(-1)?.ms ?? nowMs) + DAY_MS;
  return {
    range, points, startMs, endMs, dayMs: DAY_MS, isKnown: Boolean(past || today), isWhole: endMs - startMs >= range.ms,
  };
}

/** The time of a point, as people say it. */
export const when = ({ range }, point) => (range.isBars ? day(point.date) : clock(point.ms));

/** The history as a table: names of columns, and rows of texts, newest first. */
export function tableOf(history) {
  return history.range.isBars ? dayTable(history) : sampleTable(history);
}

function dayTable({ points }) {
  return {
    head: ['Day', 'Peak sessions', 'Peak connections', 'Bundles', 'Bundle data in', 'Sent', 'Clients'],
    rows: [...points].reverse().map((d) => [day(d.date), count(d.peak_sessions), count(d.peak_connections),
      count(d.bundles), amount(d.bundle_bytes), amount(d.bytes_out), count(d.connections)]),
  };
}

function sampleTable({ range, points }) {
  const rows = new Map();
  for (const point of points) {
    const start = Math.floor(point.ms / range.tableMs) * range.tableMs;
    const row = rows.get(start) ?? { start, sessions: 0, connections: 0, sending: 0, lag: 0, points: 0 };
    row.sessions = Math.max(row.sessions, point.sessions);
    row.connections = Math.max(row.connections, point.connections);
    row.lag = Math.max(row.lag, point.lag);
    row.sending += point.sending;
    row.points += 1;
    rows.set(start, row);
  }
  return {
    head: ['From', 'Most sessions', 'Most connections', 'Sending, on average', 'Longest lag'],
    rows: [...rows.values()].reverse().map((row) => [clock(row.start), count(row.sessions),
      count(row.connections), speed(row.sending / row.points), lag(row.lag)]),
  };
}

/** The thresholds of a chart: `[{level, value}]`, lowest first. */
export function thresholdsOf(status, chart) {
  return Object.entries(status.thresholds?.[chart.figure] ?? {})
    .filter(([, value]) => typeof value === 'number')
    .map(([level, value]) => ({ level, value }))
    .sort((a, b) => a.value - b.value);
}
