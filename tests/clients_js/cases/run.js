// Runs all cases that need no network. The promise is of what came of each: [name, null or the error].

import { addresses } from './addresses.js';
import { assembly } from './assembly.js';
import { backoff } from './backoff.js';
import { channels } from './channels.js';
import { connections } from './connections.js';
import { logs } from './logs.js';
import { patches } from './patches.js';
import { phone } from './phone.js';
import { phones } from './phones.js';
import { sends } from './sends.js';

const SUITES = {
  addresses,
  assembly,
  backoff,
  channels,
  connections,
  logs,
  patches,
  phone,
  phones,
  sends,
};

export function runCases() {
  const results = [];
  let before = Promise.resolve();
  Object.keys(SUITES).forEach((suite) => {
    Object.keys(SUITES[suite]).forEach((name) => {
      before = before
        .then(() => SUITES[suite][name]())
        .then(
          () => null,
          (error) => String((error && error.stack) || error),
        )
        .then((error) => results.push([`${suite}: ${name}`, error]));
    });
  });
  return before.then(() => results);
}
