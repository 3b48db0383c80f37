// Answers a line of JSON on its standard input with a line on its standard output, until the first ends.

import { createInterface } from 'node:readline';
import * as kit from '../../ops/clients/js/index.js';
import { answer } from './operations.js';

createInterface({ input: process.stdin, crlfDelay: Infinity }).on('line', (line) => {
  process.stdout.write(`${answer(kit, line)}\n`);
});
