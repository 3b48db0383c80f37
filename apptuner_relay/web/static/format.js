// Figures for people. Traffic counts in powers of ten, as providers bill it; memory in powers of
// two, as it is sold and limited. What is not known is "–".

const WHOLE = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const TRAFFIC = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
const MEMORY = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** What stands for a figure that is not known. */
export const UNKNOWN = '–';

const isKnown = (value) => typeof value === 'number' && Number.isFinite(value);

/** 1234567 → "1,234,567". */
export const count = (n) => (isKnown(n) ? WHOLE.format(n) : UNKNOWN);

/** "1 phone", "2 phones". */
export const counted = (n, one, many = `${one}s`) => `${count(n)}\u00a0${n === 1 ? one : many}`;

/** Bytes as [number, unit], with three digits: 28_680_000_000 → ["28.7", "GB"]. */
export const traffic = (bytes) => scaled(bytes, 1000, TRAFFIC);

/** 91_000_000 → ["86.8", "MiB"]. */
export const memory = (bytes) => scaled(bytes, 1024, MEMORY);

/** Bytes per second, as [number, unit]. */
export function rate(bytesPerSecond) {
  const [number, unit] = traffic(bytesPerSecond);
  return [number, unit && `${unit}/s`];
}

/** Milliseconds as [number, unit]. */
export function milliseconds(ms) {
  if (!isKnown(ms)) return [UNKNOWN, ''];
  if (ms >= 1000) return [digits(ms / 1000), 's'];
  return [ms < 0.05 ? '0' : digits(ms), 'ms'];
}

/** Seconds that somebody waits, as [number, unit]: 0.048 → 48 ms, 0.9 → 0.90 s, 75 → 1 min 15 s. */
export function seconds(s) {
  if (!isKnown(s)) return [UNKNOWN, ''];
  if (s >= 60) return [duration(s), ''];
  return s < 0.1 ? milliseconds(Math.round(s * 1000)) : [s.toFixed(s < 9.995 ? 2 : 1), 's'];
}

/** A share of 1 in percent: "under 1%", "17%". */
export function share(part) {
  if (!isKnown(part)) return UNKNOWN;
  return part > 0 && part < 0.01 ? 'under 1%' : `${Math.round(part * 100)}%`;
}

/** Seconds with their two largest units: "3 d 2 h", "4 min 10 s", "12 s". */
export function duration(s) {
  if (!isKnown(s)) return UNKNOWN;
  const whole = Math.max(0, Math.floor(s));
  const parts = [[Math.floor(whole / 86400), 'd'], [Math.floor(whole / 3600) % 24, 'h'],
    [Math.floor(whole / 60) % 60, 'min'], [whole % 60, 's']];
  const first = parts.findIndex(([n]) => n > 0);
  if (first < 0) return '0\u00a0s';
  return parts.slice(first, first + 2).filter(([n]) => n > 0).map((p) => p.join('\u00a0')).join(' ');
}

/** The viewer's time of day, 24 hours. */
export const clock = (ms, withSeconds = false) => (isKnown(ms)
  ? new Date(ms).toLocaleTimeString('en-GB', {
    hour: '2-digit', minute: '2-digit', second: withSeconds ? '2-digit' : undefined,
  })
  : UNKNOWN);

/** The time of day; with its day, where that is not the day of `nowMs`. */
export function moment(ms, nowMs, withSeconds = false) {
  if (!isKnown(ms)) return UNKNOWN;
  const at = new Date(ms);
  const time = clock(ms, withSeconds);
  if (at.toDateString() === new Date(nowMs).toDateString()) return time;
  return `${at.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })} ${time}`;
}

/** "2026-11-23" → "Mon 23 Nov". */
export function day(date) {
  const at = new Date(`${date}T00:00:00Z`);
  const part = (options) => at.toLocaleDateString('en-GB', { timeZone: 'UTC', ...options });
  return `${part({ weekday: 'short' })} ${part({ day: 'numeric', month: 'short' })}`;
}

/** [number, unit] as text that doesn't break. */
export const joined = ([number, unit]) => (unit ? `${number}\u00a0${unit}` : number);

/** "a, b and c". */
export function listed(names) {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}

export const capital = (word) => word.charAt(0).toUpperCase() + word.slice(1);

function scaled(value, step, units) {
  if (!isKnown(value)) return [UNKNOWN, ''];
  let unit = 0;
  // What would be rounded up to the next unit is of the next unit.
  while (value >= step - 0.5 && unit < units.length - 1) {
    value /= step;
    unit += 1;
  }
  return [unit === 0 ? count(value) : digits(value), units[unit]];
}

function digits(value) {
  if (value >= 99.95) return count(value);
  if (Number.isInteger(value)) return String(value);
  return value.toFixed(value >= 9.995 ? 1 : 2);
}
