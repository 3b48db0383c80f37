// AppTuner Relay's clients. README.md beside this file tells how they are used.

export { applyPatch } from './src/patch_applying.js';
