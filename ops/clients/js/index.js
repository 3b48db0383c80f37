// AppTuner Relay's clients. README.md beside this file tells how they are used.

export { makePatch } from './src/patch_making.js';
export { applyPatch } from './src/patch_applying.js';
export { connectCli } from './src/cli.js';
export { connectDashboard } from './src/dashboard.js';
export { connectPhone } from './src/phone.js';
