// Runs all cases that need no network, and returns what came of each: [name, null or the error].

import { assembly } from './assembly.js';
import { backoff } from './backoff.js';
import { logs } from './logs.js';
import { patches } from './patches.js';

const SUITES = { assembly, backoff, logs, patches };

export function runCases() {
  const results = [];
  Object.keys(SUITES).forEach((suite) => {
    Object.keys(SUITES[suite]).forEach((name) => {
      let error = null;
      try {
        SUITES[suite][name]();
      } catch (caught) {
        error = String((caught && caught.stack) || caught);
      }
      results.push([`${suite}: ${name}`, error]);
    });
  });
  return results;
}
