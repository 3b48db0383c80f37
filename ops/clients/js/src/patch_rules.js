// What both sides of a patch keep to: its limits, its reason words, and where a text may be cut.

/** More edits are refused: a whole bundle is little more work for everybody by then. */
export const MOST_EDITS = 4000;

/** The largest message, in bytes of UTF-8. */
export const MOST_PATCH_BYTES = 1024 * 1024;

/** The `type` of the message. */
export const PATCH_TYPE = 'bundle_patch';

const SURROGATE = /[\ud800-\udfff]/;
const MEANINGS = {
  malformed: 'it is not the message that the protocol describes',
  too_many: `it has more than ${MOST_EDITS} edits`,
  order: 'its edits do not ascend, or they overlap',
  surrogate: 'it has half a surrogate pair, or an edit begins or ends inside a pair',
  bounds: 'an edit is beyond the end of the base',
  base: 'it is for another base',
  old: 'the base has another text where an edit says what it replaces',
  units: 'what it makes has another length',
};

/**
 * An Error that says why a patch is refused.
 *
 * @param {string} reason one of the words of `bundle_wanted`; it is the error's `reason`.
 */
export function patchError(reason) {
  const error = new Error(`The patch is refused: ${MEANINGS[reason]}`);
  error.reason = reason;
  return error;
}

/** Whether a cut at `at` would part the halves of a surrogate pair. */
export function cutsPair(text, at) {
  return (
    at > 0 &&
    at < text.length &&
    isLow(text.charCodeAt(at)) &&
    isHigh(text.charCodeAt(at - 1))
  );
}

/** Whether `text` has half a surrogate pair, which UTF-8 can't express. */
export function hasLoneSurrogate(text) {
  if (!SURROGATE.test(text)) return false;
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    if (isHigh(unit)) {
      at += 1;
      if (at === text.length || !isLow(text.charCodeAt(at))) return true;
    } else if (isLow(unit)) {
      return true;
    }
  }
  return false;
}

function isHigh(unit) {
  return unit >= 0xd800 && unit < 0xdc00;
}

function isLow(unit) {
  return unit >= 0xdc00 && unit < 0xe000;
}
