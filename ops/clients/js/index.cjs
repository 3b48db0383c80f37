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

// ops/clients/js/src/text_diff.js
var MOST_INSERTED = 1 / 8;
var LEAST_COMPARED = 256;
var MOST_COMPARED = 64 * 1024;
var LINE_WINDOWS = [512, 4 * 1024, 32 * 1024, 128 * 1024];
var ANCHOR = 32;
var PROBE_WINDOW = 4 * 1024 * 1024;
var PROBE = 64;
var PROBES_AT = [0, 256, 4 * 1024, 64 * 1024];
var LEAST_EQUAL = 16;
var REPEATED = -1;
function diffTexts(before, after, isLate) {
  const edits = [];
  let at = 0;
  let newAt = 0;
  let left = Math.floor(after.length * MOST_INSERTED);
  function skip(start, newStart, length) {
    if (start > at || newStart > newAt) {
      edits.push([at, start, newAt, newStart]);
      left -= newStart - newAt;
      if (left < 0 || edits.length > MOST_EDITS || isLate()) return false;
    }
    at = start + length;
    newAt = newStart + length;
    return true;
  }
  function take(start, newStart, length) {
    let from = 0;
    let to = length;
    while (from < to && isCut(start + from, newStart + from)) from += 1;
    while (from < to && isCut(start + to, newStart + to)) to -= 1;
    if (to - from < LEAST_EQUAL && start + from > 0 && start + to < before.length) return true;
    return skip(start + from, newStart + from, to - from);
  }
  function isCut(place, newPlace) {
    return cutsPair(before, place) || cutsPair(after, newPlace);
  }
  if (!walkRuns(before, after, take, isLate)) return null;
  return skip(before.length, after.length, 0) ? edits : null;
}
function walkRuns(before, after, take, isLate) {
  const shorter = Math.min(before.length, after.length);
  const tail = commonEnd(before, before.length, after, after.length, shorter);
  const stop = before.length - tail;
  const newStop = after.length - tail;
  let at = 0;
  let newAt = 0;
  for (; ; ) {
    const length = commonStart(before, at, after, newAt, Math.min(stop - at, newStop - newAt));
    if (!take(at, newAt, length)) return false;
    at += length;
    newAt += length;
    if (at === stop || newAt === newStop) break;
    const found = commonLine(before, at, stop, after, newAt, newStop) || commonPiece(before, at, stop, after, newAt, newStop, isLate);
    if (isLate()) return false;
    if (found === null) break;
    const most = Math.min(found[0] - at, found[1] - newAt);
    const back = commonEnd(before, found[0], after, found[1], most);
    at = found[0] - back;
    newAt = found[1] - back;
  }
  return take(stop, newStop, tail);
}
function commonStart(before, at, after, newAt, most) {
  return commonLength(most, (from, to) => {
    return before.slice(at + from, at + to) === after.slice(newAt + from, newAt + to);
  });
}
function commonEnd(before, stop, after, newStop, most) {
  return commonLength(most, (from, to) => {
    return before.slice(stop - to, stop - from) === after.slice(newStop - to, newStop - from);
  });
}
function commonLength(most, isEqual) {
  let equal = 0;
  let size = LEAST_COMPARED;
  for (; ; ) {
    if (equal >= most) return equal;
    size = Math.min(size, most - equal);
    if (!isEqual(equal, equal + size)) break;
    equal += size;
    size = Math.min(2 * size, MOST_COMPARED);
  }
  let low = equal;
  let high = equal + size;
  while (high - low > 1) {
    const middle = low + high >>> 1;
    if (isEqual(low, middle)) low = middle;
    else high = middle;
  }
  return low;
}
function commonLine(before, at, stop, after, newAt, newStop) {
  for (let which = 0; which < LINE_WINDOWS.length; which += 1) {
    const size = LINE_WINDOWS[which] + ANCHOR;
    const places = /* @__PURE__ */ new Map();
    walkAnchors(before, at, Math.min(at + size, stop), (place, anchor) => {
      places.set(anchor, places.has(anchor) ? REPEATED : place);
      return true;
    });
    const nearest = nearestLine(places, after, newAt, Math.min(newAt + size, newStop), 2 * size);
    if (nearest !== null) return [at + nearest[0], newAt + nearest[1]];
    if (at + size >= stop && newAt + size >= newStop) break;
  }
  return null;
}
function nearestLine(places, after, newAt, newStop, most) {
  let nearest = null;
  let least = most;
  walkAnchors(after, newAt, newStop, (newPlace, anchor) => {
    if (newPlace >= least) return false;
    const place = places.get(anchor);
    if (place !== void 0 && place !== REPEATED && place + newPlace < least) {
      least = place + newPlace;
      nearest = [place, newPlace];
    }
    return true;
  });
  return nearest;
}
function walkAnchors(text, at, stop, found) {
  const window = text.slice(at, stop);
  let place = window.indexOf("\n") + 1;
  while (place > 0 && place + ANCHOR <= window.length) {
    if (!found(place, window.slice(place, place + ANCHOR))) return;
    place = window.indexOf("\n", place) + 1;
  }
}
function commonPiece(before, at, stop, after, newAt, newStop, isLate) {
  const window = before.slice(at, Math.min(at + PROBE_WINDOW, stop));
  const newWindow = after.slice(newAt, Math.min(newAt + PROBE_WINDOW, newStop));
  for (let which = 0; which < PROBES_AT.length && !isLate(); which += 1) {
    const ahead = PROBES_AT[which];
    let place = onlyPlace(newWindow, window.slice(ahead, ahead + PROBE));
    if (place >= 0) return [at + ahead, newAt + place];
    place = onlyPlace(window, newWindow.slice(ahead, ahead + PROBE));
    if (place >= 0) return [at + place, newAt + ahead];
  }
  return null;
}
function onlyPlace(window, probe) {
  if (probe.length < PROBE) return -1;
  const place = window.indexOf(probe);
  return place >= 0 && window.indexOf(probe, place + 1) < 0 ? place : -1;
}

// ops/clients/js/src/utf8.js
function utf8Length(text) {
  return typeof Buffer === "undefined" ? countedLength(text) : Buffer.byteLength(text, "utf8");
}
function countedLength(text) {
  let bytes = text.length;
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    if (unit < 128) continue;
    bytes += unit < 2048 ? 1 : 2;
    if (unit >= 55296 && unit < 56320 && at + 1 < text.length) {
      const next = text.charCodeAt(at + 1);
      if (next >= 56320 && next < 57344) {
        at += 1;
      }
    }
  }
  return bytes;
}

// ops/clients/js/src/patch_making.js
var TIME_LIMIT_MS = 250;
var MOST_OLD = 64;
var EDITS_WITH_OLD = 16;
var ENVELOPE_BYTES = 1024;
var EDIT_BYTES = 48;
var UNIT_BYTES = 6;
function makePatch(base, text, { timeLimit = TIME_LIMIT_MS, now = Date.now } = {}) {
  const deadline = now() + timeLimit;
  const found = diffTexts(base, text, () => now() > deadline);
  if (found === null) return null;
  const edits = found.map(([start, end, newStart, newEnd], index) => {
    const edit = [start, end, text.slice(newStart, newEnd)];
    const old = found.length - index <= EDITS_WITH_OLD ? oldText(base, start, end) : "";
    return old ? edit.concat(old) : edit;
  });
  if (edits.some((edit) => hasLoneSurrogate(edit[2])) || !fits(edits)) return null;
  return { size: utf8Length(text), units: text.length, edits };
}
function oldText(base, start, end) {
  let stop = Math.min(end, start + MOST_OLD);
  if (cutsPair(base, stop)) stop -= 1;
  const old = base.slice(start, stop);
  return hasLoneSurrogate(old) ? "" : old;
}
function fits(edits) {
  const most = MOST_PATCH_BYTES - ENVELOPE_BYTES;
  const texts = edits.reduce((sum, edit) => sum + edit[2].length, EDITS_WITH_OLD * MOST_OLD);
  if (texts * UNIT_BYTES + edits.length * EDIT_BYTES <= most) return true;
  return utf8Length(JSON.stringify(edits)) <= most;
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
module.exports = { applyPatch, makePatch };
