// How long to wait before the next try: longer each time, and never all clients at once.

/**
 * @param {object} [options]
 * @param {number} [options.first] the first pause in milliseconds.
 * @param {number} [options.most] the longest one.
 * @param {number} [options.factor] by which each is longer than the one before.
 * @param {() => number} [options.random] from 0 to below 1.
 * @returns {{next: () => number, reset: () => void}} `next` is the pause before the next try, in
 *   milliseconds: at least half of its full length, the rest at random. `reset` begins anew, once a
 *   try has succeeded.
 */
export function createBackoff({
  first = 1000,
  most = 30000,
  factor = 2,
  random = Math.random,
} = {}) {
  let full = first;
  return {
    next() {
      const pause = Math.min(full, most);
      full = Math.min(full * factor, most);
      return Math.round((pause / 2) * (1 + random()));
    },
    reset() {
      full = first;
    },
  };
}
