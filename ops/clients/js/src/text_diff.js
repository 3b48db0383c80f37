// Finds the edits that make one text of another one, in bounded time. The relay has the same in
// apptuner_relay/spool/code/text_diff.py, for UTF-8.
//
// It is made for two builds of one program, which have nearly everything in common, in the same order.
// Equal text is skipped at the speed of memory. At a difference, the nearest line is looked for that
// both texts have, a little ahead first; then pieces of text far ahead that one of them has once.
//
// Offsets are in UTF-16 code units, and edits never part the halves of a surrogate pair.

import { MOST_EDITS, cutsPair } from './patch_rules.js';

/** How much of the new text may be inserted. */
const MOST_INSERTED = 1 / 8;

const LEAST_COMPARED = 256;
const MOST_COMPARED = 64 * 1024;
/** How far ahead equal lines are looked for. */
const LINE_WINDOWS = [512, 4 * 1024, 32 * 1024, 128 * 1024];
/** How much of a line, and of what follows it, has to be equal. */
const ANCHOR = 32;
const PROBE_WINDOW = 4 * 1024 * 1024;
const PROBE = 64;
/** How far ahead the pieces are taken that are looked for in the other text. */
const PROBES_AT = [0, 256, 4 * 1024, 64 * 1024];
/** Equal text between two edits is sent along where it is shorter than an edit's brackets are. */
const LEAST_EQUAL = 16;
/** Stands for an anchor's place where it has several. */
const REPEATED = -1;

/**
 * The edits that make `after` of `before`, in their order: `[start, end, newStart, newEnd]` says that
 * `after.slice(newStart, newEnd)` is in the place of `before.slice(start, end)`. They don't overlap.
 *
 * @param {() => boolean} isLate whether it has taken too long.
 * @returns {number[][] | null} null where there are more than `MOST_EDITS`, they insert more than
 *   `MOST_INSERTED` of `after`, or it takes too long.
 */
export function diffTexts(before, after, isLate) {
  const edits = [];
  let at = 0;
  let newAt = 0;
  let left = Math.floor(after.length * MOST_INSERTED);

  /** Goes on to what is equal from `start` and `newStart` on. Whether that is within the limits. */
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

  /** The part of a run that is whole characters, if it is long enough, or at an end of the text,
   * where it has an edit on one side only. */
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

/**
 * Calls `take(start, newStart, length)` for what is equal in both, in order, as long as it returns
 * true. Whether it always has, and there was time.
 */
function walkRuns(before, after, take, isLate) {
  const shorter = Math.min(before.length, after.length);
  const tail = commonEnd(before, before.length, after, after.length, shorter);
  const stop = before.length - tail;
  const newStop = after.length - tail;
  let at = 0;
  let newAt = 0;
  for (;;) {
    const length = commonStart(before, at, after, newAt, Math.min(stop - at, newStop - newAt));
    if (!take(at, newAt, length)) return false;
    at += length;
    newAt += length;
    if (at === stop || newAt === newStop) break;
    const found =
      commonLine(before, at, stop, after, newAt, newStop) ||
      commonPiece(before, at, stop, after, newAt, newStop, isLate);
    if (isLate()) return false;
    if (found === null) break;
    const most = Math.min(found[0] - at, found[1] - newAt);
    const back = commonEnd(before, found[0], after, found[1], most);
    at = found[0] - back;
    newAt = found[1] - back;
  }
  return take(stop, newStop, tail);
}

/** How many units are equal behind these places; `most` at most. */
function commonStart(before, at, after, newAt, most) {
  return commonLength(most, (from, to) => {
    return before.slice(at + from, at + to) === after.slice(newAt + from, newAt + to);
  });
}

/** How many units are equal before these places; `most` at most. */
function commonEnd(before, stop, after, newStop, most) {
  return commonLength(most, (from, to) => {
    return before.slice(stop - to, stop - from) === after.slice(newStop - to, newStop - from);
  });
}

/**
 * How far two texts are equal: blocks that grow are compared, and the one that differs is halved.
 *
 * @param {(from: number, to: number) => boolean} isEqual
 */
function commonLength(most, isEqual) {
  let equal = 0;
  let size = LEAST_COMPARED;
  for (;;) {
    if (equal >= most) return equal;
    size = Math.min(size, most - equal);
    if (!isEqual(equal, equal + size)) break;
    equal += size;
    size = Math.min(2 * size, MOST_COMPARED);
  }
  let low = equal;
  let high = equal + size;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (isEqual(low, middle)) low = middle;
    else high = middle;
  }
  return low;
}

/** The nearest line that begins in both texts behind these places, and is in each of them once as far
 * as it was looked for. */
function commonLine(before, at, stop, after, newAt, newStop) {
  for (let which = 0; which < LINE_WINDOWS.length; which += 1) {
    const size = LINE_WINDOWS[which] + ANCHOR;
    const places = new Map();
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
    if (place !== undefined && place !== REPEATED && place + newPlace < least) {
      least = place + newPlace;
      nearest = [place, newPlace];
    }
    return true;
  });
  return nearest;
}

/** Calls `found(place, anchor)` for the places behind `at` at which lines begin, and what stands there,
 * as long as it returns true. */
function walkAnchors(text, at, stop, found) {
  const window = text.slice(at, stop);
  let place = window.indexOf('\n') + 1;
  while (place > 0 && place + ANCHOR <= window.length) {
    if (!found(place, window.slice(place, place + ANCHOR))) return;
    place = window.indexOf('\n', place) + 1;
  }
}

/** Where a piece of one text is, behind these places, that the other one has once. */
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

/** Where `probe` is; -1 where it is too short, or isn't there exactly once. */
function onlyPlace(window, probe) {
  if (probe.length < PROBE) return -1;
  const place = window.indexOf(probe);
  return place >= 0 && window.indexOf(probe, place + 1) < 0 ? place : -1;
}
