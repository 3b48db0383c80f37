// Made by ops/clients/js/build: change the files that it is made of.
// ops/clients/js/src/patch_rules.js
var MOST_EDITS = 4e3;
var MOST_PATCH_BYTES = 1024 * 1024;
var PATCH_TYPE = "bundle_patch";
var SURROGATE = /[\ud800-\udfff]/;
var MEANINGS = {
  malformed: "it is not the message that the protocol describes",
  too_many: `it has more than ${MOST_EDITS} edits`,
  order: "its edits do not ascend, or they overlap",
  surrogate: "it has half a surrogate pair, or an edit begins or ends inside a pair",
  bounds: "an edit is beyond the end of the base",
  base: "it is for another base",
  old: "the base has another text where an edit says what it replaces",
  units: "what it makes has another length"
};
function patchError(reason) {
  const error = new Error(`The patch is refused: ${MEANINGS[reason]}`);
  error.reason = reason;
  return error;
}
function cutsPair(text, at) {
  return at > 0 && at < text.length && isLow(text.charCodeAt(at)) && isHigh(text.charCodeAt(at - 1));
}
function hasLoneSurrogate(text) {
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
  return unit >= 55296 && unit < 56320;
}
function isLow(unit) {
  return unit >= 56320 && unit < 57344;
}

// ops/clients/js/src/patch_applying.js
var SHA256 = /^[0-9a-f]{64}$/;
function applyPatch(base, patch, options = {}) {
  const edits = checkedEdits(patch);
  checkFields(patch, options.label !== void 0);
  if (options.label !== void 0 && patch.base !== options.label) throw patchError("base");
  checkPlaces(base, edits);
  let units = base.length;
  for (const [start, end, text] of edits) units += text.length - (end - start);
  if (units !== patch.units) throw patchError("units");
  const parts = [];
  let at = 0;
  for (const [start, end, text, old = ""] of edits) {
    if (old.length > end - start || !base.startsWith(old, start)) throw patchError("old");
    parts.push(base.slice(at, start), text);
    at = end;
  }
  parts.push(base.slice(at));
  return parts.join("");
}
function checkedEdits(patch) {
  if (!isObject(patch) || !Array.isArray(patch.edits)) throw patchError("malformed");
  if (patch.type !== void 0 && patch.type !== PATCH_TYPE) throw patchError("malformed");
  if (patch.edits.length > MOST_EDITS) throw patchError("too_many");
  patch.edits.forEach(checkEdit);
  let at = 0;
  for (const [start, end] of patch.edits) {
    if (start < at || end < start) throw patchError("order");
    at = end;
  }
  return patch.edits;
}
function checkEdit(edit) {
  if (!Array.isArray(edit) || edit.length !== 3 && edit.length !== 4) {
    throw patchError("malformed");
  }
  if (!isCount(edit[0]) || !isCount(edit[1])) throw patchError("malformed");
  for (const text of edit.slice(2)) {
    if (typeof text !== "string") throw patchError("malformed");
    if (hasLoneSurrogate(text)) throw patchError("surrogate");
  }
}
function checkFields({ base, sha256, size, units }, areLabelsNeeded) {
  if (!isCount(size) || !isCount(units)) throw patchError("malformed");
  for (const label of [base, sha256]) {
    if (label === void 0 && !areLabelsNeeded) continue;
    if (typeof label !== "string" || !SHA256.test(label)) throw patchError("malformed");
  }
}
function checkPlaces(base, edits) {
  for (const [start, end] of edits) {
    if (cutsPair(base, start) || cutsPair(base, end)) throw patchError("surrogate");
  }
  if (edits.length && edits[edits.length - 1][1] > base.length) throw patchError("bounds");
}
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
function isCount(value) {
  return Number.isSafeInteger(value) && value >= 0;
}

// ops/clients/js/entry.js
module.exports = { applyPatch };
