// What charts reckon with: round tops, times of an axis, gaps. Pure.

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const STEPS_MS = [
  MINUTE_MS, 2 * MINUTE_MS, 5 * MINUTE_MS, 10 * MINUTE_MS, 20 * MINUTE_MS,
  HOUR_MS, 2 * HOUR_MS, 4 * HOUR_MS, 6 * HOUR_MS, 12 * HOUR_MS, 24 * HOUR_MS,
];
const FAR = 2.5;

/** The next round number: 1, 2, 4, 6 or 10 times a power of ten, whose half is round as well. */
export function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 6, 10].map((n) => n * power).find((n) => n >= value * 0.9999);
}

/**
 * The top of a chart, and the thresholds that it shows: those that the values come near. One that is
 * far above would press the line flat.
 *
 * @param values {number[]}
 * @param least the lowest top
 * @param thresholds {{level: string, value: number}[]}
 */
export function reach(values, least, thresholds) {
  const most = values.reduce((a, b) => Math.max(a, b), 0);
  const near = thresholds.filter(({ value }) => value <= Math.max(most, least / FAR) * FAR);
  const top = ceiling(Math.max(least, most, ...near.map(({ value }) => value * 1.1)));
  return { top, near, far: thresholds.filter((one) => !near.includes(one)) };
}

/** The times of an axis: round ones by the viewer's clock, `most` of them at most. */
export function timeTicks(startMs, endMs, most) {
  const step = STEPS_MS.find((ms) => (endMs - startMs) / ms <= most) ?? STEPS_MS.at(-1);
  const offset = new Date(startMs).getTimezoneOffset() * MINUTE_MS;
  const ticks = [];
  for (let ms = Math.ceil((startMs - offset) / step) * step + offset; ms <= endMs; ms += step) {
    ticks.push(ms);
  }
  return ticks;
}

/** Points without the gaps between them: a list of lists. */
export function runs(points, gapMs) {
  const found = [];
  points.forEach((point, i) => {
    if (i && point.ms - points[i - 1].ms <= gapMs) found.at(-1).push(point);
    else found.push([point]);
  });
  return found;
}

/** The point that is nearest to a time; null where there is none. */
export const nearest = (points, ms) => points.reduce(
  (a, b) => (a && Math.abs(a.ms - ms) <= Math.abs(b.ms - ms) ? a : b), null,
);
