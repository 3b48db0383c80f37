// Applies the message bundle_patch to the code that it changes. It takes no time worth counting on a
// phone: the text is sliced and joined, and never hashed, which JavaScript takes seconds for.

import { MOST_EDITS, PATCH_TYPE, cutsPair, hasLoneSurrogate, patchError } from './patch_rules.js';

const SHA256 = /^[0-9a-f]{64}$/;

/**
 * What `patch` makes of `base`.
 *
 * @param {string} base the code that the patch changes.
 * @param {object} patch the message, parsed, or what `makePatch` returned.
 * @param {{label?: string}} [options] `label`: the SHA-256 of `base`, in hex. The patch has to name
 *   it, and has to say the SHA-256 of what it makes, as every patch from a relay does.
 * @returns {string}
 * @throws {Error} the patch doesn't fit, or isn't what the protocol describes. The error's `reason` is
 *   `malformed`, `too_many`, `surrogate`, `order`, `base`, `bounds`, `units` or `old`.
 */
export function applyPatch(base, patch, options = {}) {
  const edits = checkedEdits(patch);
  checkFields(patch, options.label !== undefined);
  if (options.label !== undefined && patch.base !== options.label) throw patchError('base');
  checkPlaces(base, edits);
  let units = base.length;
  for (const [start, end, text] of edits) units += text.length - (end - start);
  if (units !== patch.units) throw patchError('units');
  const parts = [];
  let at = 0;
  for (const [start, end, text, old = ''] of edits) {
    if (old.length > end - start || !base.startsWith(old, start)) throw patchError('old');
    parts.push(base.slice(at, start), text);
    at = end;
  }
  parts.push(base.slice(at));
  return parts.join('');
}

function checkedEdits(patch) {
  if (!isObject(patch) || !Array.isArray(patch.edits)) throw patchError('malformed');
  if (patch.type !== undefined && patch.type !== PATCH_TYPE) throw patchError('malformed');
  if (patch.edits.length > MOST_EDITS) throw patchError('too_many');
  patch.edits.forEach(checkEdit);
  let at = 0;
  for (const [start, end] of patch.edits) {
    if (start < at || end < start) throw patchError('order');
    at = end;
  }
  return patch.edits;
}

function checkEdit(edit) {
  if (!Array.isArray(edit) || (edit.length !== 3 && edit.length !== 4)) {
    throw patchError('malformed');
  }
  if (!isCount(edit[0]) || !isCount(edit[1])) throw patchError('malformed');
  for (const text of edit.slice(2)) {
    if (typeof text !== 'string') throw patchError('malformed');
    if (hasLoneSurrogate(text)) throw patchError('surrogate');
  }
}

function checkFields({ base, sha256, size, units }, areLabelsNeeded) {
  if (!isCount(size) || !isCount(units)) throw patchError('malformed');
  for (const label of [base, sha256]) {
    if (label === undefined && !areLabelsNeeded) continue;
    if (typeof label !== 'string' || !SHA256.test(label)) throw patchError('malformed');
  }
}

/** Pairs are looked at before the end is, in the order in which a relay comes upon them. */
function checkPlaces(base, edits) {
  for (const [start, end] of edits) {
    if (cutsPair(base, start) || cutsPair(base, end)) throw patchError('surrogate');
  }
  if (edits.length && edits[edits.length - 1][1] > base.length) throw patchError('bounds');
}

function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value) {
  return Number.isSafeInteger(value) && value >= 0;
}
