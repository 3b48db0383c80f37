// Makes the patch that leads from one text of a bundle to another.

import { MOST_PATCH_BYTES, cutsPair, hasLoneSurrogate } from './patch_rules.js';
import { diffTexts } from './text_diff.js';
import { utf8Length } from './utf8.js';

/** How long it may take to find the edits, in milliseconds. */
const TIME_LIMIT_MS = 250;

/** How much of the text that an edit replaces is sent along, as a check, at most. */
const MOST_OLD = 64;
/** How many edits have that: the last ones, as what tells two builds apart is often at the end. */
const EDITS_WITH_OLD = 16;
/** The message's other fields, and more. */
const ENVELOPE_BYTES = 1024;
/** The longest that an edit is without its texts, and what one unit of a text becomes in JSON. */
const EDIT_BYTES = 48;
const UNIT_BYTES = 6;

/**
 * The patch that makes `text` of `base`: what the message `bundle_patch` has beside its type, `base`,
 * `sha256` and `timestamp`.
 *
 * @param {string} base
 * @param {string} text
 * @param {{timeLimit?: number, now?: () => number}} [options] `timeLimit` in milliseconds; `now` is a
 *   monotonic clock in milliseconds.
 * @returns {{size: number, units: number, edits: Array} | null} null where the whole is to be sent: the
 *   texts are too different, the message would be too large, it takes too long, or an edit would insert
 *   half a surrogate pair, which a relay refuses.
 */
export function makePatch(base, text, { timeLimit = TIME_LIMIT_MS, now = Date.now } = {}) {
  const deadline = now() + timeLimit;
  const found = diffTexts(base, text, () => now() > deadline);
  if (found === null) return null;
  const edits = found.map(([start, end, newStart, newEnd], index) => {
    const edit = [start, end, text.slice(newStart, newEnd)];
    const old = found.length - index <= EDITS_WITH_OLD ? oldText(base, start, end) : '';
    return old ? edit.concat(old) : edit;
  });
  if (edits.some((edit) => hasLoneSurrogate(edit[2])) || !fits(edits)) return null;
  return { size: utf8Length(text), units: text.length, edits };
}

/** How the replaced text begins; nothing where JSON can't carry that. */
function oldText(base, start, end) {
  let stop = Math.min(end, start + MOST_OLD);
  if (cutsPair(base, stop)) stop -= 1;
  const old = base.slice(start, stop);
  return hasLoneSurrogate(old) ? '' : old;
}

/** Whether the message is within its limit. */
function fits(edits) {
  const most = MOST_PATCH_BYTES - ENVELOPE_BYTES;
  const texts = edits.reduce((sum, edit) => sum + edit[2].length, EDITS_WITH_OLD * MOST_OLD);
  if (texts * UNIT_BYTES + edits.length * EDIT_BYTES <= most) return true;
  return utf8Length(JSON.stringify(edits)) <= most;
}
