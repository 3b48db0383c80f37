// What tests ask of the kit by JSON, in any runtime: `answer(kit, line)` is the answer to a line.

import { createBundleAssembly } from '../../ops/clients/js/src/bundle_assembly.js';
import { createLogQueue } from '../../ops/clients/js/src/log_queue.js';
import { createTime } from './cases/checks.js';

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
  /** What a phone puts together of messages; null among them is the end of a connection. */
  assemble(kit, { messages }) {
    const assembly = createBundleAssembly();
    const codes = [];
    messages.forEach((message) => {
      const bundle = message === null ? assembly.reset() : assembly.take(message);
      if (bundle) codes.push(bundle.code);
    });
    return codes;
  },
  /** What is sent of logs, as [when, messages]: a step is a level and a text, or milliseconds that pass,
   * or whether there is a connection. */
  log(kit, { steps, options }) {
    const time = createTime();
    const began = time.now();
    const calls = [];
    const send = (messages) => calls.push([time.now() - began, messages]);
    const queue = createLogQueue({ ...options, ...time, send });
    queue.open();
    steps.forEach((step) => {
      if (typeof step === 'number') time.advance(step);
      else if (typeof step !== 'boolean') queue.add(step[0], [step[1]]);
      else if (step) queue.open();
      else queue.close();
    });
    return calls;
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
