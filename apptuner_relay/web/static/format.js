// Metrics for people. Traffic counts in powers of ten, as providers bill it; memory in powers of
// two, as it is sold and limited.

const WHOLE = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const TRAFFIC = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
const MEMORY = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** 1234567 → "1,234,567". */
export const count = (n) => WHOLE.format(n);

/** "1 phone", "2 phones". */
export const counted = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** Bytes as [number, unit], with three digits: 28_680_000_000 → ["28.7", "GB"]. */
export const traffic = (bytes) => scaled(bytes, 1000, TRAFFIC);

/** 91_000_000 → ["86.8", "MiB"]. */
export const memory = (bytes) => scaled(bytes, 1024, MEMORY);

/** Bytes per second, as [number, unit]. */
export function rate(bytesPerSecond) {
  const [number, unit] = traffic(bytesPerSecond);
  return [number, `${unit}/s`];
}

/** Milliseconds as [number, unit]. */
export function milliseconds(ms) {
  if (ms >= 1000) return [digits(ms / 1000), 's'];
  return [ms < 0.05 ? '0' : digits(ms), 'ms'];
}

/** Seconds with their two largest units: "3 d 2 h", "4 min 10 s", "12 s". */
export function duration(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const parts = [[Math.floor(s / 86400), 'd'], [Math.floor(s / 3600) % 24, 'h'],
    [Math.floor(s / 60) % 60, 'min'], [s % 60, 's']];
  const first = parts.findIndex(([n]) => n > 0);
  if (first < 0) return '0 s';
  return parts.slice(first, first + 2).filter(([n]) => n > 0).map((p) => p.join(' ')).join(' ');
}

/** The viewer's time of day, 24 hours. */
export const clock = (ms, withSeconds = false) => new Date(ms).toLocaleTimeString('en-GB', {
  hour: '2-digit', minute: '2-digit', second: withSeconds ? '2-digit' : undefined,
});

/** "2026-11-23" → "Mon 23 Nov". */
export function day(date) {
  const at = new Date(`${date}T00:00:00Z`);
  const part = (options) => at.toLocaleDateString('en-GB', { timeZone: 'UTC', ...options });
  return `${part({ weekday: 'short' })} ${part({ day: 'numeric', month: 'short' })}`;
}

/** [number, unit] as text that doesn't break. */
export const joined = ([number, unit]) => `${number}\u00a0${unit}`;

function scaled(value, step, units) {
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
  return value.toFixed(value >= 9.995 || Number.isInteger(value) ? (Number.isInteger(value) ? 0 : 1) : 2);
}
