// Puts bundles together on a phone. What it hands out is one bundle, whole: never a mixture of two.

/** The most code that is put together, in UTF-16 code units. */
const MOST_UNITS = 64 * 1024 * 1024;
const MOST_CHUNKS = 64 * 1024;
/** Messages behind which nothing more comes of a bundle that has begun. */
const ENDS_BUNDLE = ['bundle_patch', 'bundle_unchanged'];

/**
 * @param {object} [options]
 * @param {number} [options.mostUnits] the most code that is put together, in UTF-16 code units.
 * @param {(fault: string) => void} [options.onFault] a bundle is given up: `malformed`, `order` (a
 *   chunk is missing, or has no start) or `too_big`.
 * @returns {{take: (message: object) => ({code: string, sourceMap?: string} | null), reset: () => void}}
 *   `take` looks at a message, parsed, and returns a bundle that it completes. `reset` gives up what has
 *   begun: call it when a connection ends, as the next one begins anew.
 */
export function createBundleAssembly({ mostUnits = MOST_UNITS, onFault = () => {} } = {}) {
  let parts = null;
  let totalChunks = 0;
  let units = 0;
  let hasFailed = false;

  function reset() {
    parts = null;
    hasFailed = false;
  }

  /** Gives the bundle up. What still comes of it is no other fault. */
  function fail(fault) {
    const isFirst = !hasFailed;
    reset();
    hasFailed = true;
    if (isFirst) onFault(fault);
    return null;
  }

  function takeWhole({ payload }) {
    reset();
    const { code, sourceMap } = payload || {};
    if (typeof code !== 'string') return fail('malformed');
    if (code.length > mostUnits) return fail('too_big');
    return typeof sourceMap === 'string' ? { code, sourceMap } : { code };
  }

  function takeStart(message) {
    reset();
    const count = message.totalChunks;
    if (!Number.isSafeInteger(count) || count < 1) return fail('malformed');
    if (count > MOST_CHUNKS) return fail('too_big');
    parts = [];
    totalChunks = count;
    units = 0;
    return null;
  }

  function takeChunk(message) {
    if (parts === null || message.index !== parts.length || message.totalChunks !== totalChunks) {
      return fail('order');
    }
    if (typeof message.data !== 'string') return fail('malformed');
    units += message.data.length;
    if (units > mostUnits) return fail('too_big');
    parts.push(message.data);
    if (parts.length < totalChunks) return null;
    const code = parts.join('');
    reset();
    return { code };
  }

  return {
    take(message) {
      if (message.type === 'bundle_update') return takeWhole(message);
      if (message.type === 'bundle_start') return takeStart(message);
      if (message.type === 'bundle_chunk') return takeChunk(message);
      if (ENDS_BUNDLE.indexOf(message.type) >= 0) reset();
      return null;
    },
    reset,
  };
}
