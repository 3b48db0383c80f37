// What is run on the VM of Hermes, made one file by esbuild. A test may put before it KIT, the kit, and
// REQUESTS, lines to answer; without them the cases are run. Hermes reads no input, and has `print`.

import { runCases } from './cases/run.js';
import { answer } from './operations.js';

const { KIT, REQUESTS } = globalThis;
if (REQUESTS === undefined) runCases().then((results) => print(JSON.stringify(results)));
else REQUESTS.forEach((line) => print(answer(KIT, line)));
