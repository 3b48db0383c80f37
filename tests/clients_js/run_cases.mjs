// Runs the cases of cases/, and prints what came of them as a line of JSON.

import { runCases } from './cases/run.js';

process.stdout.write(`${JSON.stringify(await runCases())}\n`);
