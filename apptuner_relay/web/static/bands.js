// The warnings of a time, those that are over included, as bands of a chart. Pure.

import { higher } from './needs.js';

/**
 * The warnings that were active between two times, oldest first.
 *
 * @return {{name: string, level: string, text: string, fromMs: number, toMs: number, isOver: boolean}[]}
 */
export function bandsOf({ worries = [], past_worries: past = [], now_ms: nowMs }, startMs, endMs) {
  const active = higher(worries).map((one) => band(one, nowMs, false));
  const over = past.map((one) => band(one, one.until_ms, true));
  return [...over.filter((one) => !isWithinHigher(one, [...over, ...active])), ...active]
    .filter(({ fromMs, toMs }) => toMs >= startMs && fromMs <= endMs)
    .map((one) => ({ ...one, fromMs: Math.max(one.fromMs, startMs), toMs: Math.min(one.toMs, endMs), sinceMs: one.fromMs }))
    .sort((a, b) => a.sinceMs - b.sinceMs);
}

function band({ name, level, text, since_ms: fromMs }, toMs, isOver) {
  return { name, level, text, fromMs, toMs, isOver };
}

/** Whether a lower warning lasted only while the higher one of its kind did. */
function isWithinHigher(one, all) {
  return all.some((other) => other !== one && other.fromMs <= one.fromMs && other.toMs >= one.toMs
    && higher([one, other]).length === 1 && higher([one, other])[0] === other);
}
