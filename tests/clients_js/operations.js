// What tests ask of the kit by JSON, in any runtime: `answer(kit, line)` is the answer to a line.

const operations = {
  /** The patch that makes `after` of `before`; null where the whole is to be sent. */
  make(kit, { before, after }) {
    // As long as it takes: a machine that is busy is no reason for another answer.
    return kit.makePatch(before, after, { timeLimit: Infinity });
  },
  /** What `patch` makes of `base`, or the reason why it is refused. */
  apply(kit, { base, patch, label }) {
    try {
      return { code: kit.applyPatch(base, patch, { label }) };
    } catch (error) {
      if (error.reason === undefined) throw error;
      return { reason: error.reason };
    }
  },
};

export function answer(kit, line) {
  const request = JSON.parse(line);
  const made = operations[request.op](kit, request);
  // A runtime's output need not be UTF-8, and old JSON has half a surrogate pair as it is.
  return JSON.stringify(made).replace(/[^\x20-\x7e]/g, escaped);
}

function escaped(unit) {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
