// Made by ops/clients/js/build: change the files that it is made of.
// src/patch_rules.js
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
function cutsPair(text2, at) {
  return at > 0 && at < text2.length && isLow(text2.charCodeAt(at)) && isHigh(text2.charCodeAt(at - 1));
}
function hasLoneSurrogate(text2) {
  if (!SURROGATE.test(text2)) return false;
  for (let at = 0; at < text2.length; at += 1) {
    const unit = text2.charCodeAt(at);
    if (isHigh(unit)) {
      at += 1;
      if (at === text2.length || !isLow(text2.charCodeAt(at))) return true;
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

// src/text_diff.js
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
function walkAnchors(text2, at, stop, found) {
  const window = text2.slice(at, stop);
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

// src/utf8.js
function utf8Length(text2) {
  return typeof Buffer === "undefined" ? countedLength(text2) : Buffer.byteLength(text2, "utf8");
}
function countedLength(text2) {
  let bytes = text2.length;
  for (let at = 0; at < text2.length; at += 1) {
    const unit = text2.charCodeAt(at);
    if (unit < 128) continue;
    bytes += unit < 2048 ? 1 : 2;
    if (unit >= 55296 && unit < 56320 && at + 1 < text2.length) {
      const next = text2.charCodeAt(at + 1);
      if (next >= 56320 && next < 57344) {
        at += 1;
      }
    }
  }
  return bytes;
}

// src/patch_making.js
var TIME_LIMIT_MS = 250;
var MOST_OLD = 64;
var EDITS_WITH_OLD = 16;
var ENVELOPE_BYTES = 1024;
var EDIT_BYTES = 48;
var UNIT_BYTES = 6;
function makePatch(base, text2, { timeLimit = TIME_LIMIT_MS, now = Date.now } = {}) {
  const deadline = now() + timeLimit;
  const found = diffTexts(base, text2, () => now() > deadline);
  if (found === null) return null;
  const edits = found.map(([start, end, newStart, newEnd], index) => {
    const edit = [start, end, text2.slice(newStart, newEnd)];
    const old = found.length - index <= EDITS_WITH_OLD ? oldText(base, start, end) : "";
    return old ? edit.concat(old) : edit;
  });
  if (edits.some((edit) => hasLoneSurrogate(edit[2])) || !fits(edits)) return null;
  return { size: utf8Length(text2), units: text2.length, edits };
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

// src/patch_applying.js
var SHA256 = /^[0-9a-f]{64}$/;
function applyPatch(base, patch, options = {}) {
  const edits = checkedEdits(patch);
  checkFields(patch, options.label !== void 0);
  if (options.label !== void 0 && patch.base !== options.label) throw patchError("base");
  checkPlaces(base, edits);
  let units = base.length;
  for (const [start, end, text2] of edits) units += text2.length - (end - start);
  if (units !== patch.units) throw patchError("units");
  const parts = [];
  let at = 0;
  for (const [start, end, text2, old = ""] of edits) {
    if (old.length > end - start || !base.startsWith(old, start)) throw patchError("old");
    parts.push(base.slice(at, start), text2);
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
  for (const text2 of edit.slice(2)) {
    if (typeof text2 !== "string") throw patchError("malformed");
    if (hasLoneSurrogate(text2)) throw patchError("surrogate");
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

// src/bundle_messages.js
var CHUNK_UNITS = 512 * 1024;
function* bundleMessages(code, { timestamp, sourceMap, targetDeviceId }) {
  if (code.length <= CHUNK_UNITS) {
    const payload = { code, sourceMap };
    yield JSON.stringify({ type: "bundle_update", targetDeviceId, payload, timestamp });
    return;
  }
  const starts = chunkStarts(code);
  const totalChunks = starts.length;
  const start = { type: "bundle_start", targetDeviceId, totalChunks };
  yield JSON.stringify({ ...start, totalSize: code.length, timestamp });
  for (let index = 0; index < totalChunks; index += 1) {
    const chunk = { type: "bundle_chunk", targetDeviceId, index, totalChunks };
    yield JSON.stringify({ ...chunk, data: code.slice(starts[index], starts[index + 1]) });
  }
}
function chunkStarts(code) {
  const starts = [];
  let at = 0;
  while (at < code.length) {
    starts.push(at);
    at += CHUNK_UNITS;
    const last = code.charCodeAt(at - 1);
    if (at < code.length && last >= 55296 && last < 56320) at -= 1;
  }
  return starts;
}

// src/send_queue.js
function createSendQueue(begin) {
  let current = null;
  let next = null;
  let stopped = null;
  function turn() {
    current = next;
    next = null;
    if (current !== null) begin(current);
  }
  function finish(settle) {
    const job = current;
    current = null;
    settle(job);
    if (current === null) turn();
  }
  return {
    add(job) {
      if (stopped !== null) return Promise.reject(stopped);
      return new Promise((resolve, reject) => {
        if (next !== null) next.resolve({ sent: "replaced", bytes: 0 });
        next = { ...job, resolve, reject };
        if (current === null) turn();
      });
    },
    current: () => current,
    done: (result) => finish((job) => job.resolve(result)),
    failed: (error) => finish((job) => job.reject(error)),
    stop(error) {
      stopped = error;
      const jobs = [current, next].filter((job) => job !== null);
      current = next = null;
      jobs.forEach((job) => job.reject(error));
    }
  };
}

// src/sha256.js
function sha256Hex(text2, platform = globalThis) {
  const { process, crypto } = platform;
  if (process && process.getBuiltinModule) {
    const { createHash } = process.getBuiltinModule("node:crypto") || {};
    if (createHash) return Promise.resolve(createHash("sha256").update(text2, "utf8").digest("hex"));
  }
  if (!crypto || !crypto.subtle) {
    return Promise.reject(new Error("There is no SHA-256 here: neither node:crypto nor WebCrypto"));
  }
  return crypto.subtle.digest("SHA-256", new TextEncoder().encode(text2)).then(hex);
}
function hex(buffer) {
  return Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// src/bundle_sender.js
var MOST_BUFFERED = 1024 * 1024;
var BUFFER_POLL_MS = 5;
var KEPT_MS = 2e3;
var ANSWER_MS = 15e3;
function createBundleSender({ wire, patch = true, timers = globalThis, hash = sha256Hex }) {
  const queue = createSendQueue(begin);
  let last = null;
  let kept = null;
  let takesPatches = false;
  let isKeptAwaited = false;
  let isSilent = false;
  let isAgainOwed = false;
  let maySend = false;
  let attempt = 0;
  let timer = null;
  let onAnswer = null;
  function later(action, ms) {
    const mine = attempt;
    timer = timers.setTimeout(() => mine === attempt && action(), ms);
  }
  function clear() {
    attempt += 1;
    onAnswer = null;
    if (timer !== null) timers.clearTimeout(timer);
    timer = null;
  }
  function begin(job) {
    job.bytes = 0;
    job.sha256 = null;
    const hashed = hasLoneSurrogate(job.code) ? Promise.resolve(null) : hash(job.code);
    hashed.then(
      (sha256) => {
        job.sha256 = sha256;
      },
      () => void 0
    ).then(() => {
      job.isReady = true;
      if (queue.current() === job && maySend) go(job);
    });
  }
  function go(job) {
    clear();
    if (isKeptAwaited && !job.isWhole) {
      onAnswer = () => go(job);
      isKeptAwaited = false;
      later(() => {
        isSilent = true;
        go(job);
      }, KEPT_MS);
      return;
    }
    const text2 = job.isWhole ? null : patchText(job);
    job.hasBegun = true;
    if (text2 === null) sendWhole(job);
    else sendPatch(job, text2);
  }
  function patchText({ code, sha256 }) {
    if (!patch || !takesPatches || sha256 === null) return null;
    if (last === null || last.sha256 === null || last.sha256 !== kept) return null;
    const made = makePatch(last.code, code);
    if (made === null) return null;
    const fields = { type: "bundle_patch", base: last.sha256, sha256, size: made.size };
    const text2 = JSON.stringify({ ...fields, units: made.units, edits: made.edits, timestamp: Date.now() });
    return text2.length < code.length ? text2 : null;
  }
  function say(job, text2) {
    job.bytes += utf8Length(text2);
    wire.send(text2);
  }
  function sendPatch(job, text2) {
    say(job, text2);
    onAnswer = (message2) => {
      if (message2.type === "bundle_wanted") {
        clear();
        sendWhole(job);
      } else if (message2.sha256 === job.sha256) {
        done(job, "patch");
      }
    };
    later(() => wire.ping(ifStill(() => done(job, "patch"))), ANSWER_MS);
  }
  function ifStill(action) {
    const mine = attempt;
    return () => mine === attempt && action();
  }
  function sendWhole(job) {
    kept = null;
    isKeptAwaited = false;
    const messages = bundleMessages(job.code, { timestamp: Date.now() });
    pump(job, messages);
  }
  function pump(job, messages) {
    while (wire.buffered() < MOST_BUFFERED) {
      const { value, done: isDone } = messages.next();
      if (isDone) {
        wire.ping(
          ifStill(() => {
            isKeptAwaited = takesPatches && !isSilent && job.sha256 !== null && job.sha256 !== kept;
            done(job, "whole");
          })
        );
        return;
      }
      say(job, value);
    }
    later(() => pump(job, messages), BUFFER_POLL_MS);
  }
  function done(job, sent) {
    clear();
    last = { code: job.code, sha256: job.sha256 };
    queue.done({ sent, bytes: job.bytes, sha256: job.sha256 });
    if (isAgainOwed && queue.current() === null) sendAgain();
  }
  function sendAgain(isWhole = false) {
    isAgainOwed = false;
    if (last !== null) queue.add({ code: last.code, isWhole }).catch(() => void 0);
  }
  function settled() {
    maySend = true;
    const job = queue.current();
    if (job !== null && job.isReady) go(job);
    else if (job === null && isAgainOwed) sendAgain();
    isAgainOwed = false;
  }
  return {
    send: (code) => queue.add({ code, isWhole: false }),
    /** Somebody has come who has none: the last bundle is sent once more, as a patch without edits
     * where the relay keeps it. */
    sendAgain() {
      const job = queue.current();
      if (job === null && maySend) sendAgain();
      else if (job === null || job.hasBegun) isAgainOwed = true;
    },
    up(welcome) {
      takesPatches = welcome.patch === true;
      wire.ping(ifStill(settled));
    },
    down() {
      clear();
      maySend = isKeptAwaited = isAgainOwed = false;
      const job = queue.current();
      if (job !== null) job.hasBegun = false;
    },
    /** Takes one message; false where it is none about bundles. */
    heed(message2) {
      if (message2.type !== "bundle_kept" && message2.type !== "bundle_wanted") return false;
      if (message2.type === "bundle_kept") {
        kept = message2.sha256;
        isKeptAwaited = isSilent = false;
      } else {
        kept = null;
      }
      if (onAnswer !== null) onAnswer(message2);
      else if (message2.type === "bundle_wanted" && queue.current() === null) sendAgain(true);
      return true;
    },
    stop(error) {
      clear();
      queue.stop(error);
    }
  };
}

// src/backoff.js
function createBackoff({
  first = 1e3,
  most = 3e4,
  factor = 2,
  random = Math.random
} = {}) {
  let full = first;
  return {
    next() {
      const pause = Math.min(full, most);
      full = Math.min(full * factor, most);
      return Math.round(pause / 2 * (1 + random()));
    },
    reset() {
      full = first;
    }
  };
}

// src/bundle_upload.js
var PATCH_TYPE2 = "application/vnd.apptuner.bundle-patch+json";
var CODE_TYPE = "text/javascript; charset=utf-8";
var TRIES = 8;
var CONFLICT = 409;
var NOT_KEPT = 507;
function createBundleUpload({ where, secret, patch = true, timers = globalThis, hash = sha256Hex }) {
  const address = `${where.place.http}/bundles/${where.session}`;
  const queue = createSendQueue(begin);
  let last = null;
  let isStopped = false;
  function begin(job) {
    job.bytes = 0;
    job.tries = 0;
    job.backoff = createBackoff();
    if (hasLoneSurrogate(job.code)) {
      queue.failed(new Error("the code has half a surrogate pair, which UTF-8 cannot express"));
      return;
    }
    hash(job.code).then(
      (sha256) => {
        job.sha256 = sha256;
        patched(job);
      },
      () => whole(job)
    );
  }
  function patched(job) {
    const made = patch && last !== null && last.sha256 !== null ? makePatch(last.code, job.code) : null;
    if (made === null) {
      whole(job);
      return;
    }
    const body = JSON.stringify({ type: "bundle_patch", base: last.sha256, sha256: job.sha256, ...made });
    if (body.length >= job.code.length) whole(job);
    else put(job, "patch", body, { "Content-Type": PATCH_TYPE2, "If-Match": `"${last.sha256}"` }, whole);
  }
  function whole(job) {
    last = null;
    put(job, "whole", job.code, { "Content-Type": CODE_TYPE }, (refused, error) => queue.failed(error));
  }
  function put(job, sent, body, headers, refuse) {
    const authorization = secret ? { Authorization: `Bearer ${secret}` } : {};
    job.tries += 1;
    job.bytes += utf8Length(body);
    const again = (error) => {
      if (job !== queue.current()) return;
      if (job.tries >= TRIES) queue.failed(error);
      else timers.setTimeout(() => isStopped || put(job, sent, body, headers, refuse), job.backoff.next());
    };
    where.fetch(address, { method: "PUT", headers: { ...headers, ...authorization }, body }).then((answer) => answer.text().then((text2) => [answer.status, parse(text2)])).then(([status, answer]) => {
      if (job !== queue.current()) return;
      const error = new Error(`the relay answered with HTTP ${status}: ${answer.error || ""}`);
      const sha256 = answer.sha256 || null;
      if (sent === "patch" && sha256 !== null && sha256 !== job.sha256) {
        whole(job);
      } else if (status === 201 || status === NOT_KEPT) {
        last = { code: job.code, sha256: status === 201 ? sha256 : null };
        queue.done({ sent, bytes: job.bytes, sha256, phones: answer.phones });
      } else if (status === CONFLICT && answer.sha256) {
        last = null;
        queue.done({ sent: "replaced", bytes: job.bytes });
      } else if (status === 429 || status === CONFLICT || status >= 500 && sent === "whole") {
        again(error);
      } else {
        refuse(job, error);
      }
    }, again);
  }
  return {
    send: (code) => queue.add({ code }),
    sendAgain() {
      if (last !== null && queue.current() === null) queue.add({ code: last.code }).catch(() => void 0);
    },
    up: () => void 0,
    down: () => void 0,
    heed: () => false,
    stop(error) {
      isStopped = true;
      queue.stop(error);
    }
  };
}
function parse(text2) {
  try {
    return JSON.parse(text2) || {};
  } catch (error) {
    return {};
  }
}

// src/connection.js
var CONNECT_MS = 3e4;
var GOOD_MS = 1e4;
var MOST_RETRY_AFTER_MS = 36e5;
var FINAL_STATUS = [400, 401, 403, 404];
var FINAL_REASON = /^(New \w+ connected|There are too many pages|This session |Somebody else )/;
function isFinal(ending) {
  if (ending.final) return true;
  if (FINAL_STATUS.includes(ending.status)) return true;
  return (ending.code === 1e3 || ending.code === 1008) && FINAL_REASON.test(ending.reason || "");
}
function describeEnding(ending) {
  if (ending.status) {
    return `refused with HTTP ${ending.status}${ending.reason ? `: ${ending.reason}` : ""}`;
  }
  const text2 = ending.reason || ending.error;
  if (ending.code === 1006 || !ending.code) return text2 || "the connection was lost";
  return `closed with ${ending.code}${text2 ? `: ${text2}` : ""}`;
}
function keepConnection({
  open,
  pings,
  on,
  backoff = createBackoff(),
  timers = globalThis,
  now = Date.now
}) {
  let line = null;
  let isUp = false;
  let isClosed = false;
  let upAt = 0;
  let pongs = [];
  let waiting = null;
  let beat = null;
  let patience = null;
  function stopTimers() {
    [waiting, beat, patience].forEach((timer) => timer !== null && timers.clearTimeout(timer));
    waiting = beat = patience = null;
  }
  function begin() {
    waiting = null;
    on.state("connecting", {});
    if (isClosed) return;
    let mine = null;
    const isMine = (action) => (value) => {
      if (mine === null || mine === line) action(value);
    };
    patience = timers.setTimeout(() => lose("nothing was heard"), CONNECT_MS);
    mine = line = open({
      up: isMine(up),
      heard: isMine(heard),
      message: isMine(on.message),
      binary: isMine(on.binary),
      pong: isMine(() => pongs.length && pongs.shift()()),
      down: isMine(down)
    });
  }
  function up(welcome) {
    isUp = true;
    upAt = now();
    heard();
    beat = timers.setTimeout(heartbeat, pings.every);
    on.state("open", {});
    on.up(welcome);
  }
  function heard() {
    if (!isUp || patience === null) return;
    timers.clearTimeout(patience);
    patience = null;
  }
  function heartbeat() {
    beat = timers.setTimeout(heartbeat, pings.every);
    if (patience === null) {
      patience = timers.setTimeout(() => lose("no answer to a ping"), pings.patience);
    }
    pongs.push(() => void 0);
    line.ping();
  }
  function lose(reason) {
    const lost = line;
    down({ code: 1006, reason, status: null, error: "" });
    lost.drop();
  }
  function down(ending) {
    if (isClosed) return;
    stopTimers();
    line = null;
    pongs = [];
    if (isUp && now() - upAt >= GOOD_MS) backoff.reset();
    isUp = false;
    isClosed = isFinal(ending);
    on.down(ending);
    if (isClosed) {
      on.state("closed", { ending });
      return;
    }
    const delay = Math.max(backoff.next(), Math.min(ending.retryAfter || 0, MOST_RETRY_AFTER_MS));
    waiting = timers.setTimeout(begin, delay);
    on.state("waiting", { delay, ending });
  }
  const kept = {
    isUp: () => isUp,
    send(message2) {
      if (isUp) line.send(message2);
      return isUp;
    },
    ping(done) {
      if (!isUp) return;
      pongs.push(done);
      line.ping();
    },
    buffered: () => isUp ? line.buffered() : 0,
    close() {
      if (isClosed) return;
      isClosed = true;
      isUp = false;
      stopTimers();
      if (line !== null) line.close();
      line = null;
      on.down({ code: 1e3, reason: "closed by the program", status: null, error: "" });
      on.state("closed", { ending: null });
    }
  };
  begin();
  return kept;
}

// src/phone_reports.js
var nothing = () => void 0;
function createPhoneReports(on) {
  const call = (name) => on[name] || nothing;
  return function heed(message2) {
    switch (message2.type) {
      case "device_list":
        call("devices")(Array.isArray(message2.devices) ? message2.devices : []);
        return true;
      case "mobile_connected":
        call("phoneConnected")(phoneOf(message2));
        return true;
      case "mobile_disconnected":
        call("phoneDisconnected")(phoneOf(message2));
        return true;
      case "bundle_ack":
        call("acknowledgement")({
          deviceId: textOf(message2.deviceId),
          name: textOf(message2.deviceName),
          success: message2.success === true,
          error: textOf(message2.error),
          sha256: textOf(message2.sha256),
          timestamp: message2.timestamp
        });
        return true;
      case "console_log":
        call("log")(logOf(message2));
        return true;
      default:
        return false;
    }
  };
}
function phoneOf({ deviceId, deviceName, platform }) {
  return { deviceId: textOf(deviceId), name: textOf(deviceName), platform: textOf(platform) };
}
function logOf({ payload, deviceId }) {
  const { level, args, timestamp } = payload && typeof payload === "object" ? payload : {};
  return {
    level: textOf(level) || "log",
    args: Array.isArray(args) ? args : [],
    timestamp,
    deviceId: textOf(deviceId)
  };
}
function textOf(value) {
  return typeof value === "string" ? value : null;
}

// src/address.js
var RELAY = /^(ws|wss|http|https):\/\/([^/?#@\s]+)((?:\/[^?#\s]*)?)$/i;
var SESSION = /^[A-Za-z0-9_-]{1,64}$/;
var KEY = /^[A-Za-z0-9._-]{1,128}$/;
var HOST = /^(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::([0-9]{1,5}))?$/;
var PATH = /^(\/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+$/;
var CLUSTER = /^[a-z][a-z0-9-]{0,31}$/;
var THIS_MACHINE = /^(localhost|.*\.localhost|127(\.\d{1,3}){3}|\[::1\])$/;
var ABLY = "wss://main.pusher.ably.net:443";
function isChannelUrl(url) {
  return /^(pusher|relay):\/\//.test(url);
}
function parseRelayUrl(url) {
  const found = RELAY.exec(String(url));
  if (!found) throw new TypeError("the URL of a relay is wss://HOST or ws://HOST:PORT");
  const secure = /^(wss|https)$/i.test(found[1]) ? "s" : "";
  const place = `${found[2]}${found[3].replace(/\/+$/, "")}`;
  return { webSocket: `ws${secure}://${place}`, http: `http${secure}://${place}` };
}
function checkSession(session) {
  if (typeof session !== "string" || !SESSION.test(session)) {
    throw new TypeError("the id of a session is 1 to 64 of the characters A-Z a-z 0-9 _ -");
  }
  return session;
}
function queryOf(fields) {
  const text2 = formOf(fields);
  return text2 && `?${text2}`;
}
function formOf(fields) {
  return Object.keys(fields).filter((name) => fields[name] !== void 0 && fields[name] !== null && fields[name] !== "").map((name) => `${name}=${encodeURIComponent(String(fields[name]))}`).join("&");
}
function parseChannelUrl(url) {
  const [, scheme, rest] = /^(pusher|relay):\/\/(.*)$/.exec(String(url)) || [];
  if (!scheme) throw new TypeError("the URL of a service is pusher://KEY@HOST:PORT/APP_ID");
  if (scheme === "relay") return { key: checkKey(rest), webSocket: null };
  const [, key, host, query] = /^([^@/?]*)@([^/?]*)(?:\/[^?]*)?(?:\?(.*))?$/.exec(rest) || [];
  if (key === void 0) throw new TypeError("there is no key in front of an @ in the URL");
  checkKey(key);
  const options = readOptions(query || "");
  if (host === "ably") return { key, webSocket: ABLY };
  const cluster = host.startsWith("pusher:") ? host.slice(7) : options.cluster;
  if (cluster !== void 0) {
    if (!CLUSTER.test(cluster)) throw new TypeError("that is no cluster of Pusher: try pusher:eu");
    return { key, webSocket: `wss://ws-${cluster}.pusher.com:443` };
  }
  return { key, webSocket: ownService(host, options) };
}
function ownService(text2, options) {
  const [, host, port] = HOST.exec(text2) || [];
  if (!host || port !== void 0 && !(port >= 1 && port <= 65535)) {
    throw new TypeError("the URL of a service needs a host, with a port or none: HOST:6001");
  }
  const tls = options.tls || (THIS_MACHINE.test(host) ? "off" : "on");
  if (tls !== "on" && tls !== "off") throw new TypeError("tls in the URL is on or off");
  const prefix = (options.prefix || "").replace(/\/+$/, "");
  if (prefix && !PATH.test(prefix)) throw new TypeError("prefix in the URL is a path: /path");
  const scheme = tls === "on" ? "wss" : "ws";
  return `${scheme}://${host}:${port || (tls === "on" ? 443 : 80)}${prefix}`;
}
function readOptions(query) {
  const options = {};
  query.split("&").filter(Boolean).forEach((field) => {
    const [name, value = ""] = field.split("=");
    if (!/^(cluster|events|prefix|tls)$/.test(name)) {
      throw new TypeError("the URL of a service takes cluster, events, prefix and tls behind a ?");
    }
    options[name] = value;
  });
  return options;
}
function checkKey(key) {
  if (key.includes(":")) {
    throw new TypeError("there is a secret behind the key in the URL: only the relay gets it");
  }
  if (!KEY.test(key)) throw new TypeError("a key in the URL is 1 to 128 of A-Z a-z 0-9 . _ -");
  return key;
}

// src/channel_outbox.js
var EVENT_EVERY_MS = 150;
var MOST_EVENT_BYTES = 8600;
function createChannelOutbox({ send, timers = globalThis }) {
  let queue = [];
  let timer = null;
  function sendSome() {
    let bytes = 0;
    let count = 0;
    while (count < queue.length && bytes + queue[count].bytes + 1 <= MOST_EVENT_BYTES) {
      bytes += queue[count].bytes + 1;
      count += 1;
    }
    const messages = queue.slice(0, count).map((one) => one.message);
    queue = queue.slice(count);
    send(messages);
  }
  function tick() {
    timer = null;
    if (!queue.length) return;
    sendSome();
    timer = timers.setTimeout(tick, EVENT_EVERY_MS);
  }
  return {
    add(message2) {
      const bytes = utf8Length(JSON.stringify(message2));
      if (bytes >= MOST_EVENT_BYTES) return false;
      queue.push({ message: message2, bytes });
      if (timer === null) timer = timers.setTimeout(tick, 0);
      return true;
    },
    flush() {
      while (queue.length) sendSome();
    },
    stop() {
      if (timer !== null) timers.clearTimeout(timer);
      timer = null;
      queue = [];
    }
  };
}

// src/channel_talk.js
var EPOCH = /^[0-9a-f]{8}$/;
var SHA2562 = /^[0-9a-f]{64}$/;
function isRelay(userId) {
  return String(userId).startsWith("relay:");
}
function newEpoch(random = Math.random) {
  return `0000000${Math.floor(random() * 4294967296).toString(16)}`.slice(-8);
}
function createChannelMemory() {
  return { ack: null, announced: null };
}
function createChannelTalk({ session, userId, memory, epoch = newEpoch() }) {
  const side = userId.startsWith("mobile:") ? "phones" : "desktop";
  const heard = /* @__PURE__ */ new Map();
  let said = 0;
  function hear(sender, data) {
    const nothing5 = { messages: [], wantsState: false };
    if (sender !== void 0 && sender !== null && !isRelay(sender)) return nothing5;
    if (!isEvent(data)) return nothing5;
    const key = String(sender);
    const before = heard.get(key);
    const isSame = before !== void 0 && before.epoch === data.epoch;
    if (isSame && data.n <= before.n) return nothing5;
    const wantsState = heard.size > 0 && !(isSame && data.n === before.n + 1);
    heard.set(key, { epoch: data.epoch, n: data.n });
    const isMine = data.to === side || Array.isArray(data.to) && data.to.includes(userId);
    const messages = isMine ? data.messages.filter(isMessage) : [];
    return { messages: [].concat(...messages.map(read2)), wantsState };
  }
  function read2(message2) {
    if (message2.type === "bundle_available") return announced(message2);
    if (message2.type !== "state") return [message2];
    const found = [];
    if (Array.isArray(message2.devices)) found.push({ type: "device_list", devices: message2.devices });
    const bundle = message2.bundle;
    if (bundle && typeof bundle === "object" && bundle.sha256 !== memory.announced) {
      found.push(...announced(bundle));
    }
    return found;
  }
  function announced({ sha256, size, timestamp }) {
    if (typeof sha256 !== "string" || !SHA2562.test(sha256)) return [];
    memory.announced = sha256;
    const url = `/bundles/${session}/${sha256}`;
    return [{ type: "bundle_available", url, sha256, size, timestamp }];
  }
  function say(messages) {
    said += 1;
    messages.forEach((message2) => {
      if (message2.type === "bundle_ack") memory.ack = message2;
    });
    return { epoch, n: said, messages };
  }
  return {
    hear,
    say,
    askForState: () => say([{ type: "state_wanted" }]),
    tellState: () => say([{ type: "state", ack: memory.ack }])
  };
}
function isEvent(data) {
  return data !== null && typeof data === "object" && EPOCH.test(data.epoch) && Number.isSafeInteger(data.n) && data.n >= 1 && Array.isArray(data.messages);
}
function isMessage(message2) {
  return message2 !== null && typeof message2 === "object" && typeof message2.type === "string";
}

// src/web_socket.js
var STATUS = /(?:response|status|code)\D{0,30}?\b([45]\d\d)\b/i;
function headerPlace(WebSocket, scope = globalThis) {
  if (WebSocket.WebSocketServer || WebSocket.Server) return "third";
  if (scope.navigator && scope.navigator.product === "ReactNative") return "third";
  if (WebSocket !== scope.WebSocket) return null;
  const versions = scope.process && scope.process.versions || {};
  return versions.bun || versions.node ? "second" : null;
}
function refusalStatus(text2) {
  const found = STATUS.exec(String(text2 || ""));
  return found ? Number(found[1]) : null;
}
function openWebSocket(WebSocket, url, headers, on) {
  let isOver = false;
  let status = null;
  let error = "";
  function down(code, reason) {
    if (isOver) return;
    isOver = true;
    on.down({ code, reason: reason || "", status, error });
  }
  const socket = construct(WebSocket, url, headers);
  socket.binaryType = "arraybuffer";
  socket.addEventListener("open", () => isOver || on.open());
  socket.addEventListener("message", (event) => {
    if (isOver) return;
    if (typeof event.data === "string") on.text(event.data);
    else on.binary(event.data);
  });
  socket.addEventListener("error", (event) => {
    error = String(event.message || "");
    status = refusalStatus(error);
  });
  socket.addEventListener("close", (event) => down(event.code, event.reason));
  return {
    send(text2) {
      socket.send(text2);
    },
    buffered: () => socket.bufferedAmount || 0,
    close() {
      socket.close(1e3);
    },
    drop() {
      isOver = true;
      if (typeof socket.terminate === "function") socket.terminate();
      else socket.close();
    }
  };
}
function construct(WebSocket, url, headers) {
  if (!headers) return new WebSocket(url);
  if (headerPlace(WebSocket) === "second") return new WebSocket(url, { headers });
  return new WebSocket(url, void 0, { headers });
}

// src/channel_line.js
var EVENT = "client-apptuner";
var PING = '{"event":"pusher:ping","data":{}}';
var PONG = '{"event":"pusher:pong","data":{}}';
var ALONE_MS = [1e3, 5e3];
var GOODBYE_MS = 5e3;
function channelLine(options) {
  const { WebSocket, service, place, channel } = options;
  const host = service.webSocket === null ? place.webSocket : service.webSocket;
  const address = `${host}/app/${service.key}?protocol=7&client=apptuner-relay-js&version=0.2.0`;
  return (on) => {
    const { timers } = options;
    const relays = /* @__PURE__ */ new Set();
    let talk = null;
    let isUp = false;
    let isOver = false;
    let isAsking = false;
    let complaint = "";
    let owesPong = false;
    let isLeaving = false;
    let alone = null;
    let goodbye = null;
    const outbox = createChannelOutbox({ send: (messages) => event(talk.say(messages)), timers });
    const socket = openWebSocket(WebSocket, address, null, {
      open: () => void 0,
      binary: () => void 0,
      text(text2) {
        on.heard();
        heed(parse2(text2) || {});
      },
      down(ending) {
        over();
        const isRefusal = ending.code >= 4e3 && ending.code < 4100;
        on.down({ ...ending, reason: ending.reason || complaint, final: isRefusal });
      }
    });
    function over() {
      isOver = true;
      outbox.stop();
      [alone, goodbye].forEach((timer) => timer !== null && timers.clearTimeout(timer));
      alone = goodbye = null;
    }
    function end(ending) {
      if (isOver) return;
      over();
      socket.drop();
      on.down({ code: 1006, reason: "", status: null, error: "", ...ending });
    }
    function event(data) {
      owesPong = true;
      socket.send(JSON.stringify({ event: EVENT, channel, data }));
    }
    function heed(envelope) {
      const isMine = envelope.channel === channel;
      const data = typeof envelope.data === "string" ? parse2(envelope.data) : envelope.data;
      switch (envelope.event) {
        case "pusher:connection_established":
          if (data && typeof data.socket_id === "string" && !isAsking) ask(data.socket_id);
          break;
        case "pusher:ping":
          socket.send(PONG);
          break;
        case "pusher:pong":
          owesPong = false;
          if (isLeaving) leave();
          else on.pong();
          break;
        case "pusher:error":
          complaint = String(data && data.message || "");
          break;
        case "pusher:subscription_error":
          if (isMine) end({ status: data && Number(data.status) || null, reason: errorOf(data) });
          break;
        case "pusher_internal:subscription_succeeded":
          if (isMine) subscribed(data);
          break;
        case "pusher_internal:member_added":
          if (isMine && data && isRelay(data.user_id)) {
            relays.add(data.user_id);
            if (alone !== null) timers.clearTimeout(alone);
            alone = null;
          }
          break;
        case "pusher_internal:member_removed":
          if (isMine && data) removed(data.user_id);
          break;
        case EVENT:
          if (isMine && talk !== null) heard(envelope.user_id, data);
          break;
        default:
      }
    }
    function ask(socketId) {
      isAsking = true;
      letIn({ ...options, socketId }).then(
        (entry) => {
          if (isOver) return;
          const { userId, auth, channelData } = entry;
          const { session, memory } = options;
          talk = createChannelTalk({ session, userId, memory });
          const data = { channel, auth, channel_data: channelData };
          socket.send(JSON.stringify({ event: "pusher:subscribe", data }));
        },
        (error) => {
          const { status = null, retryAfter = 0, message: message2 } = error;
          end({ status, retryAfter, reason: message2 });
        }
      );
    }
    function subscribed(data) {
      if (talk === null) return;
      const hash = data && data.presence && data.presence.hash || {};
      Object.keys(hash).filter(isRelay).forEach((userId) => relays.add(userId));
      event(talk.askForState());
    }
    function removed(userId) {
      if (!relays.delete(userId) || relays.size || alone !== null) return;
      const [least, most] = ALONE_MS;
      const reason = "there is no relay in the channel any more";
      alone = timers.setTimeout(() => end({ reason }), least + (most - least) * Math.random());
    }
    function heard(sender, data) {
      const { messages, wantsState } = talk.hear(sender, data);
      messages.forEach((message2) => {
        if (!isOver) take(message2);
      });
      if (wantsState && !isOver) event(talk.askForState());
    }
    function take(message2) {
      if (message2.type === "closed") {
        const [code, reason] = [Number(message2.code) || 1006, String(message2.reason || "")];
        end({ code, reason });
      } else if (message2.type === "state_wanted") {
        if (options.role === "mobile") event(talk.tellState());
      } else {
        if (!isUp) {
          isUp = true;
          on.up(message2.type === "connected" ? message2 : {});
        }
        if (message2.type !== "connected" && message2.type !== "pong") on.message(message2);
      }
    }
    function leave() {
      over();
      socket.close();
    }
    return {
      send: (message2) => outbox.add(message2),
      ping: () => socket.send(PING),
      buffered: socket.buffered,
      // A service may lose an event that a Close follows at once: a pong says that it was passed on.
      close() {
        if (isOver || !isUp) return leave();
        outbox.flush();
        outbox.stop();
        if (!owesPong) return leave();
        isLeaving = true;
        socket.send(PING);
        goodbye = timers.setTimeout(leave, GOODBYE_MS);
        return void 0;
      },
      drop() {
        over();
        socket.drop();
      }
    };
  };
}
function letIn({ fetch, place, channel, session, role, fields, credential, socketId }) {
  const form = {
    ...fields(),
    ...credential ? { [credential.name]: credential.value } : {},
    socket_id: socketId,
    channel_name: channel,
    session,
    role
  };
  const headers = { "Content-Type": "application/x-www-form-urlencoded" };
  return fetch(`${place.http}/pusher/auth`, { method: "POST", headers, body: formOf(form) }).then(
    (answer) => answer.text().then((text2) => readEntry(answer, parse2(text2) || {})),
    (error) => {
      throw new Error(`the relay could not be asked for the channel: ${error.message}`);
    }
  );
}
function readEntry({ status, headers }, answer) {
  if (status !== 200) {
    const hint = status === 404 || status === 413 ? " (is it started with --managed?)" : "";
    const error = new Error(`${errorOf(answer)}${hint}`);
    error.status = status;
    error.retryAfter = 1e3 * (Number(headers.get("Retry-After")) || 0);
    throw error;
  }
  const { auth, channel_data: channelData } = answer;
  const member = parse2(channelData);
  if (typeof auth !== "string" || member === null || typeof member.user_id !== "string") {
    throw new Error("the answer of the relay about the channel cannot be read");
  }
  return { auth, channelData, userId: member.user_id };
}
function errorOf(answer) {
  return typeof (answer && answer.error) === "string" ? answer.error : "";
}
function parse2(text2) {
  try {
    const value = JSON.parse(text2);
    return typeof value === "object" ? value : null;
  } catch (error) {
    return null;
  }
}

// src/channel_name.js
var BLOCK_BYTES = 64;
function channelName(session, prefix = "apptuner") {
  return `presence-${prefix}.${sha256OfShort(session)}`;
}
function sha256OfShort(text2) {
  const { roundConstants, initial } = constants();
  const bytes = padded(text2);
  const state = initial.slice();
  const words = new Uint32Array(64);
  for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
    for (let i = 0; i < 16; i += 1) {
      const place = at + 4 * i;
      words[i] = bytes[place] << 24 | bytes[place + 1] << 16 | bytes[place + 2] << 8 | bytes[place + 3];
    }
    for (let i = 16; i < 64; i += 1) {
      const [low, high] = [words[i - 15], words[i - 2]];
      const s0 = rotated(low, 7) ^ rotated(low, 18) ^ low >>> 3;
      const s1 = rotated(high, 17) ^ rotated(high, 19) ^ high >>> 10;
      words[i] = words[i - 16] + s0 + words[i - 7] + s1;
    }
    mix(state, words, roundConstants);
  }
  return Array.from(state, (word) => `0000000${word.toString(16)}`.slice(-8)).join("");
}
function mix(state, words, roundConstants) {
  let [a, b, c, d, e, f, g, h] = state;
  for (let i = 0; i < 64; i += 1) {
    const s1 = rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25);
    const first = h + s1 + (e & f ^ ~e & g) + roundConstants[i] + words[i] | 0;
    const s0 = rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22);
    const second = s0 + (a & b ^ a & c ^ b & c) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, d + first | 0, c, b, a, first + second | 0];
  }
  [a, b, c, d, e, f, g, h].forEach((word, i) => {
    state[i] += word;
  });
}
function rotated(word, bits) {
  return word >>> bits | word << 32 - bits;
}
function padded(text2) {
  const size = BLOCK_BYTES * Math.ceil((text2.length + 9) / BLOCK_BYTES);
  const bytes = new Uint8Array(size);
  for (let i = 0; i < text2.length; i += 1) bytes[i] = text2.charCodeAt(i);
  bytes[text2.length] = 128;
  const bits = 8 * text2.length;
  for (let i = 1; i <= 4; i += 1) bytes[size - i] = bits >>> 8 * (i - 1);
  return bytes;
}
function constants() {
  const roundConstants = new Uint32Array(64);
  const initial = new Uint32Array(8);
  const fraction = (root) => (root - Math.floor(root)) * 4294967296;
  let found = 0;
  for (let candidate = 2; found < 64; candidate += 1) {
    if (!isPrime(candidate)) continue;
    if (found < 8) initial[found] = fraction(Math.sqrt(candidate));
    roundConstants[found] = fraction(Math.cbrt(candidate));
    found += 1;
  }
  return { roundConstants, initial };
}
function isPrime(number) {
  for (let factor = 2; factor * factor <= number; factor += 1) {
    if (number % factor === 0) return false;
  }
  return true;
}

// src/relay_line.js
function readMessage(text2) {
  let message2 = null;
  try {
    message2 = JSON.parse(text2);
  } catch (error) {
    return null;
  }
  const isMessage2 = message2 !== null && typeof message2 === "object" && typeof message2.type === "string";
  return isMessage2 ? message2 : null;
}
function relayLine({ WebSocket, place, role, session, query, credential }) {
  const hasHeaders = Boolean(credential) && headerPlace(WebSocket) !== null;
  const headers = hasHeaders ? { Authorization: `Bearer ${credential.value}` } : null;
  const shown = credential && !hasHeaders ? { [credential.name]: credential.value } : {};
  return (on) => {
    const address = `${place.webSocket}/${role}/${session}${queryOf({ ...query(), ...shown })}`;
    const socket = openWebSocket(WebSocket, address, headers, {
      open: () => void 0,
      binary(data) {
        on.heard();
        on.binary(data);
      },
      text(text2) {
        on.heard();
        const message2 = readMessage(text2);
        if (message2 === null) return;
        if (message2.type === "connected") on.up(message2);
        else if (message2.type === "pong") on.pong();
        else on.message(message2);
      },
      down: on.down
    });
    return {
      send: (message2) => socket.send(typeof message2 === "string" ? message2 : JSON.stringify(message2)),
      ping: () => socket.send(JSON.stringify({ type: "ping", timestamp: Date.now() })),
      buffered: socket.buffered,
      close: socket.close,
      drop: socket.drop
    };
  };
}

// src/session_client.js
var AGENT = "apptuner-relay-js/0.2.0";
function readPlace({ url, relay, session, WebSocket, fetch }) {
  const scope = globalThis;
  const Socket = WebSocket || scope.WebSocket;
  if (typeof Socket !== "function") {
    throw new TypeError("there is no WebSocket here: pass one, such as that of npm's ws");
  }
  const load = fetch || typeof scope.fetch === "function" && ((...given) => scope.fetch(...given));
  const isChannel = isChannelUrl(url);
  if (isChannel && !relay) {
    throw new TypeError("a channel needs `relay`, the URL of the relay: it lets clients in");
  }
  if (isChannel && !load) throw new TypeError("a channel needs fetch, and there is none here");
  return {
    isChannel,
    place: parseRelayUrl(isChannel ? relay : url),
    service: isChannel ? parseChannelUrl(url) : null,
    session: checkSession(session),
    WebSocket: Socket,
    fetch: load || null
  };
}
function joinSession(where, { role, fields, query, credential, channelPrefix, pings, on, timers }) {
  const { WebSocket, fetch, place, service, session } = where;
  const common = { WebSocket, place, role, session, credential };
  const said = () => ({ ...fields(), agent: AGENT });
  const open = where.isChannel ? channelLine({
    ...common,
    fetch,
    service,
    fields: said,
    channel: channelName(session, channelPrefix),
    memory: createChannelMemory(),
    timers: timers || globalThis
  }) : relayLine({ ...common, query: () => ({ ...said(), ...query() }) });
  return keepConnection({ open, pings, on, timers });
}
function credentialOf({ secret, token }) {
  if (secret) return { name: "key", value: secret };
  return token ? { name: "token", value: token } : null;
}

// src/cli.js
var PINGS = { every: 2e4, patience: 3e4 };
var nothing2 = () => void 0;
function connectCli(options) {
  const { secret, tokens = false, patch = true, resend = true, timers = globalThis } = options;
  const { onMessage = nothing2, onState = nothing2, onPhoneConnected = nothing2 } = options;
  const where = readPlace(options);
  let connection = null;
  const wire = {
    send: (text2) => connection.send(text2),
    buffered: () => connection.buffered(),
    ping: (done) => connection.ping(done)
  };
  const bundles = where.isChannel ? createBundleUpload({ where, secret, patch, timers }) : createBundleSender({ wire, patch, timers });
  const reports = createPhoneReports({
    devices: options.onPhones,
    acknowledgement: options.onAcknowledgement,
    log: options.onLog,
    phoneDisconnected: options.onPhoneDisconnected,
    phoneConnected(phone) {
      onPhoneConnected(phone);
      if (resend) bundles.sendAgain();
    }
  });
  connection = joinSession(where, {
    role: "cli",
    fields: () => ({ tokens: tokens ? 1 : null, acks: 1 }),
    query: () => ({ patch: patch ? 1 : null }),
    credential: credentialOf({ secret }),
    channelPrefix: options.channelPrefix,
    pings: PINGS,
    timers,
    on: {
      up: bundles.up,
      message(message2) {
        if (!bundles.heed(message2) && !reports(message2)) onMessage(message2);
      },
      binary: options.onBinary || nothing2,
      down: bundles.down,
      state(state, details) {
        if (state === "closed") {
          const { ending } = details;
          bundles.stop(new Error(ending === null ? "the CLI is closed" : describeEnding(ending)));
        }
        onState(state, details);
      }
    }
  });
  return { send: bundles.send, isConnected: connection.isUp, close: connection.close };
}

// src/dashboard.js
var PINGS2 = { every: 3e4, patience: 3e4 };
var ENTITY_TAG = /^(?:W\/)?"([0-9a-f]{64})(-[^"]*)?"/;
var nothing3 = () => void 0;
function connectDashboard(options) {
  const { secret, timers = globalThis } = options;
  const { onBundle = nothing3, onAcknowledgement = nothing3, onMessage = nothing3 } = options;
  const where = readPlace(options);
  let known = null;
  let asked = 0;
  function found(sha256, size) {
    if (sha256 === known) return;
    known = sha256;
    onBundle({ sha256, size });
  }
  function look(said) {
    asked += 1;
    const mine = asked;
    const believe = () => said && mine === asked && found(said, null);
    if (where.fetch === null) {
      believe();
      return;
    }
    const headers = { "Accept-Encoding": "identity", ...secret ? { Authorization: `Bearer ${secret}` } : {} };
    where.fetch(`${where.place.http}/bundles/${where.session}`, { method: "HEAD", headers }).then(
      (answer) => {
        const [, sha256, coding] = ENTITY_TAG.exec(answer.headers.get("ETag") || "") || [];
        const size = coding ? null : Number(answer.headers.get("Content-Length")) || null;
        if (mine !== asked) return;
        if (answer.status === 200 && sha256) found(sha256, size);
        else believe();
      },
      believe
    );
  }
  const reports = createPhoneReports({
    devices: options.onDevices,
    log: options.onLog,
    phoneConnected: options.onPhoneConnected,
    phoneDisconnected: options.onPhoneDisconnected,
    acknowledgement(acknowledgement) {
      onAcknowledgement(acknowledgement);
      const { success, sha256 } = acknowledgement;
      if (sha256 === null || sha256 !== known) look(success ? sha256 : null);
    }
  });
  const connection = joinSession(where, {
    role: "dashboard",
    fields: () => ({}),
    query: () => ({}),
    credential: credentialOf({ secret }),
    channelPrefix: options.channelPrefix,
    pings: PINGS2,
    timers,
    on: {
      up: () => look(null),
      message(message2) {
        if (message2.type === "bundle_available") found(message2.sha256, message2.size);
        else if (!reports(message2)) onMessage(message2);
      },
      binary: options.onBinary || nothing3,
      down: nothing3,
      state: options.onState || nothing3
    }
  });
  return { isConnected: connection.isUp, close: connection.close };
}

// src/bundle_download.js
var TRIES2 = 6;
var BYTE_ORDER_MARK = "\uFEFF";
function createBundleDownload({ fetch, place, session, token, done, failed, timers = globalThis }) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  let wanted = null;
  let waiting = null;
  function begin(bundle, backoff, tries) {
    const isWanted = (action) => (value) => bundle === wanted && action(value);
    const address = `${place.http}/bundles/${session}/${bundle.sha256}`;
    Promise.resolve().then(() => fetch(address, { headers })).then((answer) => answer.text().then((text2) => read(answer.status, text2, bundle.size))).then(
      isWanted((code) => {
        wanted = null;
        done(code);
      }),
      isWanted((error) => {
        if (error.isFinal || tries >= TRIES2) {
          wanted = null;
          failed(`the bundle could not be downloaded: ${error.message}`);
          return;
        }
        waiting = timers.setTimeout(() => begin(bundle, backoff, tries + 1), backoff.next());
      })
    );
  }
  return function want(bundle) {
    if (waiting !== null) timers.clearTimeout(waiting);
    waiting = null;
    wanted = bundle;
    if (bundle !== null) begin(bundle, createBackoff(), 1);
  };
}
function read(status, text2, size) {
  if (status !== 200) {
    const error = new Error(`the relay answered with HTTP ${status}`);
    error.isFinal = status < 500 && status !== 429 && status !== 404;
    throw error;
  }
  const length = utf8Length(text2);
  if (length === size) return text2;
  if (length + 3 === size) return BYTE_ORDER_MARK + text2;
  throw new Error(`it has ${length} bytes instead of ${size}`);
}

// src/log_values.js
var MOST_DEPTH = 6;
var MOST_ENTRIES = 100;
var MARK = "…";
function logValues(args, most) {
  for (let left = most; ; left = Math.floor(left / 2)) {
    const values = list(args, { left }, []);
    if (left < 64 || JSON.stringify(values).length <= most) return values;
  }
}
function plain(value, budget, parents) {
  try {
    return typeof value === "object" && value !== null ? composite(value, budget, parents) : simple(value, budget);
  } catch (error) {
    return "[unreadable]";
  }
}
function simple(value, budget) {
  if (typeof value === "string") return text(value, budget);
  budget.left -= 8;
  if (value === null || typeof value === "boolean") return value;
  if (typeof value === "number") return Number.isFinite(value) ? value : String(value);
  if (typeof value === "bigint") return text(`${value}n`, budget);
  if (typeof value === "function") return text(`[function ${nameOf(value)}]`, budget);
  return text(String(value), budget);
}
function composite(value, budget, outer) {
  budget.left -= 8;
  if (outer.indexOf(value) >= 0) return "[circular]";
  if (outer.length >= MOST_DEPTH || budget.left <= 0) return MARK;
  const parents = outer.concat([value]);
  if (value instanceof Error) return text(errorText(value), budget);
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (typeof value.toJSON === "function") return plain(value.toJSON(), budget, parents);
  if (Array.isArray(value)) return list(value, budget, parents);
  if (value instanceof Map || value instanceof Set) return collection(value, budget, parents);
  const made = {};
  const keys = Object.keys(value);
  for (let at = 0; at < keys.length; at += 1) {
    if (at === MOST_ENTRIES || budget.left <= 0) {
      made[MARK] = keys.length - at;
      break;
    }
    if (keys[at] === "__proto__") continue;
    made[text(keys[at], budget)] = plain(value[keys[at]], budget, parents);
  }
  return made;
}
function collection(value, budget, parents) {
  const items = [];
  for (const item of value) {
    items.push(item);
    if (items.length > MOST_ENTRIES) break;
  }
  return list(items, budget, parents);
}
function list(items, budget, parents) {
  const made = [];
  for (let at = 0; at < items.length; at += 1) {
    if (at === MOST_ENTRIES || budget.left <= 0) {
      made.push(MARK);
      break;
    }
    made.push(plain(items[at], budget, parents));
  }
  return made;
}
function text(value, budget) {
  const most = Math.max(0, budget.left);
  budget.left -= Math.min(value.length, most) + 2;
  if (value.length <= most) return value;
  const last = value.charCodeAt(most - 1);
  const stop = last >= 55296 && last < 56320 ? most - 1 : most;
  return value.slice(0, stop) + MARK;
}
function errorText(error) {
  const head = `${error.name}: ${error.message}`;
  const stack = typeof error.stack === "string" ? error.stack : "";
  return stack.indexOf(head) === 0 || !stack ? stack || head : `${head}
${stack}`;
}
function nameOf(value) {
  return typeof value.name === "string" && value.name ? value.name : "anonymous";
}

// src/log_queue.js
var LEVELS = ["log", "info", "warn", "error", "debug"];
var SERIOUS = ["warn", "error"];
var ENVELOPE_UNITS = 96;
function createLogQueue({
  send,
  rate = 50,
  burst = 250,
  delay = 50,
  mostMessage = 16 * 1024,
  mostBatch = 128 * 1024,
  mostWaiting = 128 * 1024,
  now = Date.now,
  setTimeout = globalThis.setTimeout,
  clearTimeout = globalThis.clearTimeout
}) {
  const queues = { serious: createLines(mostWaiting), other: createLines(mostWaiting) };
  let isOpen = false;
  let timer = null;
  let allowance = burst;
  let refilledAt = now();
  let came = 0;
  let dropped = 0;
  function add(level, args) {
    const known = LEVELS.indexOf(level) >= 0 ? level : "log";
    const values = logValues(args, mostMessage - ENVELOPE_UNITS);
    const units = JSON.stringify(values).length + ENVELOPE_UNITS;
    came += 1;
    const queue = SERIOUS.indexOf(known) >= 0 ? queues.serious : queues.other;
    dropped += queue.add({ level: known, args: values, timestamp: now(), units, number: came });
    wake();
  }
  function wake() {
    if (!isOpen || timer !== null || !isWaiting()) return;
    refill();
    const pause = allowance >= 1 ? delay : Math.max(delay, (1 - allowance) * 1e3 / rate);
    timer = setTimeout(() => {
      timer = null;
      flush();
    }, pause);
  }
  function isWaiting() {
    return dropped > 0 || queues.serious.count() + queues.other.count() > 0;
  }
  function refill() {
    const time = now();
    const passed = Math.max(0, time - refilledAt);
    allowance = Math.min(burst, allowance + passed * rate / 1e3);
    refilledAt = time;
  }
  function flush() {
    if (!isOpen) return;
    refill();
    while (isOpen && allowance >= 1 && isWaiting()) {
      const batch = takeBatch();
      allowance -= batch.length;
      send(batch);
    }
    wake();
  }
  function takeBatch() {
    const batch = [];
    let units = 0;
    if (dropped > 0) batch.push(droppedNotice());
    const fitting = queues.serious.count() + queues.other.count() + batch.length <= allowance;
    while (batch.length + 1 <= allowance) {
      const queue = fitting ? earlier() : nextQueue();
      const first = queue.peek();
      if (first === void 0 || batch.length > 0 && units + first.units > mostBatch) break;
      const line = queue.take();
      if (!fitting) join(line, queue);
      units += line.units;
      batch.push(message(line));
    }
    return batch;
  }
  function earlier() {
    const serious = queues.serious.peek();
    const other = queues.other.peek();
    return serious && (!other || serious.number < other.number) ? queues.serious : queues.other;
  }
  function nextQueue() {
    return queues.serious.count() ? queues.serious : queues.other;
  }
  function join(line, queue) {
    for (; ; ) {
      const next = queue.peek();
      if (!next || next.level !== line.level || line.units + next.units > mostMessage) return;
      queue.take();
      line.args = line.args.concat(["\n"], next.args);
      line.units += next.units;
    }
  }
  function droppedNotice() {
    const text2 = `apptuner-relay-client: ${dropped} log lines were dropped, as there were too many`;
    dropped = 0;
    return message({ level: "warn", args: [text2], timestamp: now() });
  }
  return {
    add,
    flush,
    open() {
      isOpen = true;
      wake();
    },
    close() {
      isOpen = false;
      if (timer !== null) clearTimeout(timer);
      timer = null;
    }
  };
}
function message({ level, args, timestamp }) {
  return { type: "console_log", payload: { level, args, timestamp } };
}
function createLines(mostUnits) {
  let lines = [];
  let first = 0;
  let units = 0;
  function take() {
    const line = lines[first];
    lines[first] = void 0;
    first += 1;
    units -= line.units;
    if (first > 64 && 2 * first > lines.length) {
      lines = lines.slice(first);
      first = 0;
    }
    return line;
  }
  return {
    take,
    /** Returns how many lines gave way. */
    add(line) {
      lines.push(line);
      units += line.units;
      let gone = 0;
      while (units > mostUnits && lines.length - first > 1) {
        take();
        gone += 1;
      }
      return gone;
    },
    peek() {
      return lines[first];
    },
    count() {
      return lines.length - first;
    }
  };
}

// src/bundle_assembly.js
var MOST_UNITS = 64 * 1024 * 1024;
var MOST_CHUNKS = 64 * 1024;
var ENDS_BUNDLE = ["bundle_patch", "bundle_unchanged"];
function createBundleAssembly({ mostUnits = MOST_UNITS, onFault = () => {
} } = {}) {
  let parts = null;
  let totalChunks = 0;
  let units = 0;
  let hasFailed = false;
  function reset() {
    parts = null;
    hasFailed = false;
  }
  function fail(fault) {
    const isFirst = !hasFailed;
    reset();
    hasFailed = true;
    if (isFirst) onFault(fault);
    return null;
  }
  function takeWhole({ payload }) {
    reset();
    const { code, sourceMap } = payload || {};
    if (typeof code !== "string") return fail("malformed");
    if (code.length > mostUnits) return fail("too_big");
    return typeof sourceMap === "string" ? { code, sourceMap } : { code };
  }
  function takeStart(message2) {
    reset();
    const count = message2.totalChunks;
    if (!Number.isSafeInteger(count) || count < 1) return fail("malformed");
    if (count > MOST_CHUNKS) return fail("too_big");
    parts = [];
    totalChunks = count;
    units = 0;
    return null;
  }
  function takeChunk(message2) {
    if (parts === null || message2.index !== parts.length || message2.totalChunks !== totalChunks) {
      return fail("order");
    }
    if (typeof message2.data !== "string") return fail("malformed");
    units += message2.data.length;
    if (units > mostUnits) return fail("too_big");
    parts.push(message2.data);
    if (parts.length < totalChunks) return null;
    const code = parts.join("");
    reset();
    return { code };
  }
  return {
    take(message2) {
      if (message2.type === "bundle_update") return takeWhole(message2);
      if (message2.type === "bundle_start") return takeStart(message2);
      if (message2.type === "bundle_chunk") return takeChunk(message2);
      if (ENDS_BUNDLE.indexOf(message2.type) >= 0) reset();
      return null;
    },
    reset
  };
}

// src/phone_bundles.js
var MOST_ERROR_CHARACTERS = 2e3;
function errorText2(error) {
  const text2 = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return text2.slice(0, MOST_ERROR_CHARACTERS);
}
function createPhoneBundles({ have, on }) {
  let isFaulty = false;
  const assembly = createBundleAssembly({ onFault: reportFault });
  let code = have ? have.code : null;
  let label = have ? have.sha256 : null;
  let isHandedOut = false;
  let wanted = null;
  function run(newCode, newLabel, from, more = {}) {
    code = newCode;
    label = newLabel;
    isHandedOut = true;
    on.code(code, { sha256: label, from, ...more });
  }
  function unchanged() {
    want(null);
    if (isHandedOut) on.unchanged();
    else run(code, label, "have");
  }
  function want(bundle) {
    if (wanted === null && bundle === null) return;
    wanted = bundle;
    on.download(bundle);
  }
  function askForWhole(reason) {
    on.say({ type: "bundle_wanted", reason, timestamp: Date.now() });
  }
  function heedPatch(message2) {
    if (label === null) {
      askForWhole("base");
      return;
    }
    let patched = null;
    try {
      patched = applyPatch(code, message2, { label });
    } catch (error) {
      askForWhole(error.reason || "malformed");
      return;
    }
    if (message2.sha256 === label) {
      unchanged();
      return;
    }
    want(null);
    run(patched, message2.sha256, "patch");
    on.label(label, code);
  }
  function heedWhole(message2) {
    if (message2.type !== "bundle_chunk") {
      want(null);
      isFaulty = false;
    }
    const bundle = assembly.take(message2);
    if (bundle === null) return;
    const { sourceMap } = bundle;
    run(bundle.code, null, "whole", sourceMap === void 0 ? {} : { sourceMap });
  }
  function reportFault(fault) {
    if (!isFaulty) on.failed(`the bundle could not be put together: ${fault}`);
    isFaulty = true;
  }
  function heedId({ sha256, units }) {
    if (typeof sha256 !== "string" || code === null || units !== code.length) return;
    label = sha256;
    on.label(label, code);
  }
  function heedAvailable({ sha256, size }) {
    if (wanted !== null && wanted.sha256 === sha256) return;
    if (sha256 === label) unchanged();
    else want({ sha256, size });
  }
  return {
    /** The SHA-256 of the code that is here, or null where that isn't known. */
    label: () => label,
    /** Takes one message; false where it has nothing to do with bundles. */
    heed(message2) {
      switch (message2.type) {
        case "bundle_update":
        case "bundle_start":
        case "bundle_chunk":
          heedWhole(message2);
          return true;
        case "bundle_patch":
          assembly.take(message2);
          heedPatch(message2);
          return true;
        case "bundle_id":
          heedId(message2);
          return true;
        case "bundle_unchanged":
          if (label !== null && message2.sha256 === label) unchanged();
          else askForWhole("base");
          return true;
        case "bundle_available":
          heedAvailable(message2);
          return true;
        default:
          return false;
      }
    },
    /** What was wanted is here. */
    downloaded(newCode) {
      const { sha256 } = wanted;
      wanted = null;
      run(newCode, sha256, "url");
      on.label(sha256, newCode);
    },
    /** What was wanted can't be had. */
    downloadFailed(text2) {
      wanted = null;
      on.failed(text2);
    },
    /** The connection is lost, and with it the rest of a bundle: chunks of another connection are
     * never joined with those that came. */
    cut() {
      assembly.reset();
    }
  };
}

// src/phone.js
var PINGS3 = { every: 3e4, patience: 3e4 };
var CHANNEL_LOGS = { rate: 20, burst: 20, mostMessage: 2700, mostBatch: 8e3 };
var nothing4 = () => void 0;
function connectPhone(options) {
  const { deviceName, platform, model, token, patch = true, replay = true, have = null } = options;
  const { onBundle, onLabel = nothing4, onMessage = nothing4, onState = nothing4 } = options;
  const { autoAcknowledge = true, timers = globalThis } = options;
  if (typeof onBundle !== "function") throw new TypeError("a phone needs onBundle(code, about)");
  const deviceId = options.deviceId || randomId();
  const where = readPlace(options);
  let connection = null;
  let owed = null;
  let last = null;
  let turn = 0;
  const bundles = createPhoneBundles({
    have,
    on: {
      code: run,
      label: onLabel,
      unchanged: () => last !== null && say({ ...last, timestamp: Date.now() }),
      failed: (text2) => tell(false, text2),
      say,
      download: (bundle) => download(bundle)
    }
  });
  const download = where.fetch === null ? nothing4 : createBundleDownload({
    ...where,
    token,
    timers,
    done: bundles.downloaded,
    failed: bundles.downloadFailed
  });
  function run(code, about) {
    turn += 1;
    last = null;
    const mine = turn;
    const isMine = () => autoAcknowledge && mine === turn && last === null;
    new Promise((resolve) => resolve(onBundle(code, about))).then(
      () => isMine() && tell(true),
      (error) => isMine() && tell(false, error)
    );
  }
  function tell(success, error) {
    const sha256 = bundles.label();
    const ack = { type: "bundle_ack", success, deviceId, timestamp: Date.now() };
    if (!success) ack.error = errorText2(error === void 0 ? "it failed" : error);
    else if (sha256 !== null) ack.sha256 = sha256;
    last = ack;
    say(ack);
  }
  function say(message2) {
    if (connection !== null && connection.send(message2)) return;
    if (message2.type === "bundle_ack") owed = message2;
  }
  const logs = createLogQueue({
    ...where.isChannel ? CHANNEL_LOGS : {},
    send: (messages) => messages.forEach((message2) => connection.send(message2)),
    setTimeout: (action, ms) => timers.setTimeout(action, ms),
    clearTimeout: (timer) => timers.clearTimeout(timer)
  });
  connection = joinSession(where, {
    role: "mobile",
    fields: () => ({ deviceId, name: deviceName, model, platform, have: bundles.label() }),
    query: () => ({
      patch: patch ? 1 : null,
      replay: replay ? 1 : null,
      chunks: platform === "ios" ? 1 : null
    }),
    credential: credentialOf({ token }),
    channelPrefix: options.channelPrefix,
    pings: PINGS3,
    timers,
    on: {
      up() {
        const message2 = owed;
        owed = null;
        if (message2 !== null) connection.send(message2);
        logs.open();
      },
      message(message2) {
        if (!bundles.heed(message2)) onMessage(message2);
      },
      binary: options.onBinary || nothing4,
      down() {
        logs.close();
        bundles.cut();
      },
      state: onState
    }
  });
  return {
    log: (level, ...args) => logs.add(level, args),
    acknowledge: (success, error) => tell(Boolean(success), error),
    label: bundles.label,
    isConnected: connection.isUp,
    close: connection.close
  };
}
function randomId() {
  let id = "";
  while (id.length < 16) id += Math.floor(Math.random() * 16).toString(16);
  return id;
}

// entry.js
module.exports = { applyPatch, connectCli, connectDashboard, connectPhone, makePatch };
