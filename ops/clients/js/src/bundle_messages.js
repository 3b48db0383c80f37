// A bundle's code as the messages in which AppTuner's CLI sends it.

/** More code than this goes out in pieces of this many UTF-16 code units. */
export const CHUNK_UNITS = 512 * 1024;

/**
 * The messages, as JSON text: one `bundle_update`, or a `bundle_start` and its chunks.
 *
 * @param {string} code
 * @param {object} options
 * @param {number} options.timestamp milliseconds since the epoch.
 * @param {string} [options.sourceMap] sent along where the bundle is one message: chunks have none.
 * @param {string} [options.targetDeviceId] the one phone that it is for.
 */
export function* bundleMessages(code, { timestamp, sourceMap, targetDeviceId }) {
  // What is undefined is left out of JSON. A relay looks for the target at the beginning.
  if (code.length <= CHUNK_UNITS) {
    const payload = { code, sourceMap };
    yield JSON.stringify({ type: 'bundle_update', targetDeviceId, payload, timestamp });
    return;
  }
  const starts = chunkStarts(code);
  const totalChunks = starts.length;
  const start = { type: 'bundle_start', targetDeviceId, totalChunks };
  yield JSON.stringify({ ...start, totalSize: code.length, timestamp });
  for (let index = 0; index < totalChunks; index += 1) {
    const chunk = { type: 'bundle_chunk', targetDeviceId, index, totalChunks };
    yield JSON.stringify({ ...chunk, data: code.slice(starts[index], starts[index + 1]) });
  }
}

/** Where the chunks begin: never between the halves of a surrogate pair, which not every client's JSON
 * takes apart. */
function chunkStarts(code) {
  const starts = [];
  let at = 0;
  while (at < code.length) {
    starts.push(at);
    at += CHUNK_UNITS;
    const last = code.charCodeAt(at - 1);
    if (at < code.length && last >= 0xd800 && last < 0xdc00) at -= 1;
  }
  return starts;
}
