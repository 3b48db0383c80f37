import { applyPatch } from '../../../ops/clients/js/src/patch_applying.js';
import { makePatch } from '../../../ops/clients/js/src/patch_making.js';
import { MOST_EDITS, MOST_PATCH_BYTES } from '../../../ops/clients/js/src/patch_rules.js';
import { countedLength, utf8Length } from '../../../ops/clients/js/src/utf8.js';
import { equal, isTrue, reasonOf } from './checks.js';

const LABELS = ['a'.repeat(64), 'b'.repeat(64)];

/** A bundle as Metro makes them. */
function modules(count, first = 0) {
  return Array.from(
    { length: count },
    (_, number) =>
      `__d(function (global, require, module, exports, _dependencyMap) {\n` +
      `  var name${number} = require(_dependencyMap[0]);\n` +
      `  module.exports = function () { return 'module number ${number}'; };\n` +
      `},${first + number},[${first + number + 1},${first + number + 2}]);\n`,
  ).join('');
}

function edited(before, after) {
  const patch = makePatch(before, after, { now: () => 0 });
  isTrue(applyPatch(before, patch) === after, 'the patch makes the text');
  return patch.edits.map(([start, end, text]) => [before.slice(start, end), text]);
}

function refused(patch, label = undefined) {
  return reasonOf(() => applyPatch('abcdef', { size: 6, units: 6, edits: [], ...patch }, { label }));
}

export const patches = {
  'a word, and the number of the build'() {
    const before = `${modules(500)}var BUILD = 'one';\n`;
    const after = before.replace("number 77'", "number seventy'").replace("'one'", "'two'");
    equal(edited(before, after), [
      ['77', 'seventy'],
      ['one', 'two'],
    ]);
    const patch = makePatch(before, after);
    equal([patch.size, patch.units], [after.length, after.length]);
    equal(patch.edits.map((edit) => edit[3]), ['77', 'one']);
  },
  'every number changes'() {
    equal(edited(modules(800), modules(800, 100000)).length, 800);
  },
  'only the last edits say what they replace'() {
    const { edits } = makePatch(modules(800), modules(800, 100000), { now: () => 0 });
    equal(edits.map((edit) => edit.length === 4).lastIndexOf(false), 800 - 16 - 1);
  },
  'a text in one line'() {
    const before = modules(500).split('\n').join(' ');
    equal(edited(before, before.replace("number 77'", "number seventy'")).length, 1);
  },
  'nothing has changed'() {
    equal(edited(modules(9), modules(9)), []);
    equal(edited('', ''), []);
  },
  'a pair of which the first halves are the same is replaced whole'() {
    const cart = '🛒'.repeat(99);
    equal(edited(`${cart}🛒${cart}`, `${cart}🛍${cart}`), [['🛒', '🛍']]);
  },
  'half a pair is not sent, and may stay where it was'() {
    const text = 'a'.repeat(400);
    equal(makePatch(text, `${text}\ud83d`), null);
    equal(makePatch(text, `${text}\ude00b`), null);
    const half = `${text}\ud83d${text}`;
    const patch = makePatch(half, `${half}b`);
    equal([patch.edits, patch.units, patch.size], [[[801, 801, 'b']], 802, 804]);
    // What it replaces can't be said.
    equal(makePatch(half, `${text}b${text}`).edits, [[400, 401, 'b']]);
    // Two halves that come together are a character: it is sent whole.
    equal(makePatch(`${text}\ud83dx\ude00${text}`, `${text}😀${text}`).edits, [[400, 403, '😀']]);
  },
  'what is too much is sent whole'() {
    const text = modules(200);
    equal(makePatch(text, text + modules(40, 7)), null);
    equal(makePatch(text, 'something else'), null);
    isTrue(makePatch(text, '') !== null, 'taking all out is an edit');
  },
  'too many edits are sent whole'() {
    const lines = Array.from({ length: 9000 }, (_, at) => `this is line ${at}, and it is long enough`);
    const few = lines.map((line, at) => (at % 2 === 0 && at < 2 * MOST_EDITS ? `${line}!` : line));
    const now = () => 0;
    equal(makePatch(lines.join('\n'), few.join('\n'), { now }).edits.length, MOST_EDITS);
    few[2 * MOST_EDITS + 100] += '!';
    equal(makePatch(lines.join('\n'), few.join('\n'), { now }), null);
  },
  'a message that would be too large is sent whole'() {
    const text = modules(60000);
    const more = (one, bytes) => makePatch(text, text + one.repeat(bytes), { now: () => 0 });
    isTrue(more('x', MOST_PATCH_BYTES - 2000) !== null, 'it fits');
    equal(more('x', MOST_PATCH_BYTES), null);
    equal(more('\u0001', MOST_PATCH_BYTES / 4), null);
  },
  'too long a search is sent whole'() {
    let time = 0;
    const ticking = (step) => () => {
      time += step;
      return time;
    };
    const [before, after] = [modules(20), modules(20, 1000)];
    equal(makePatch(before, after, { now: ticking(1) }).edits.length, 20);
    equal(makePatch(before, after, { now: ticking(50) }), null);
    equal(makePatch(before, after, { now: ticking(1), timeLimit: 5 }), null);
  },
  'texts that repeat end'() {
    for (const one of [';', 'ab\n', '\n', 'é']) {
      const [before, after] = [one.repeat(9000), `${one.repeat(4000)}!${one.repeat(5000)}`];
      const patch = makePatch(before, after, { now: () => 0 });
      isTrue(patch === null || applyPatch(before, patch) === after, one);
    }
  },
  'each reason to refuse a patch'() {
    equal(refused({}), null);
    equal(refused({ edits: [[6, 6, '']] }), null);
    equal(reasonOf(() => applyPatch('a', null)), 'malformed');
    equal(reasonOf(() => applyPatch('a', 'text')), 'malformed');
    for (const edits of [null, {}, [[1, 2]], [[1, 2, 'x', 'b', 'c']], [[1, 2, 3]], [['1', 2, 'x']]]) {
      equal(refused({ edits }), 'malformed', JSON.stringify(edits));
    }
    for (const edits of [[[-1, 2, 'x']], [[0.5, 2, 'x']], [[0, 2, 'x', null]], [null], ['abc']]) {
      equal(refused({ edits }), 'malformed', JSON.stringify(edits));
    }
    equal(refused({ size: -1 }), 'malformed');
    equal(refused({ units: undefined }), 'malformed');
    equal(refused({ base: 'short' }), 'malformed');
    equal(refused({ type: 'bundle_update' }), 'malformed');
    equal(refused({ edits: new Array(MOST_EDITS + 1).fill([0, 0, '']) }), 'too_many');
    equal(refused({ edits: [[2, 3, 'x'], [1, 1, '']] }), 'order');
    equal(refused({ edits: [[3, 2, 'x']] }), 'order');
    equal(refused({ edits: [[0, 7, 'abcdef']] }), 'bounds');
    equal(refused({ edits: [[0, 1, '\ud83d']] }), 'surrogate');
    equal(refused({ edits: [[0, 1, 'x', 'y']] }), 'old');
    equal(refused({ edits: [[0, 1, 'x', 'ab']] }), 'old');
    equal(refused({ edits: [[0, 1, 'xy']] }), 'units');
    equal(reasonOf(() => applyPatch('😀', { size: 4, units: 2, edits: [[1, 2, 'x']] })), 'surrogate');
    equal(reasonOf(() => applyPatch('😀', { size: 4, units: 2, edits: [[0, 1, 'x']] })), 'surrogate');
  },
  'a patch of a relay is for one base'() {
    const [base, sha256] = LABELS;
    equal(refused({ base, sha256 }, base), null);
    equal(refused({ base, sha256 }, sha256), 'base');
    equal(refused({ base }, base), 'malformed');
    equal(refused({ sha256 }, base), 'malformed');
  },
  'an error says what is wrong'() {
    try {
      applyPatch('a', { size: 1, units: 1, edits: [[0, 2, 'b']] });
    } catch (error) {
      isTrue(error instanceof Error, 'an Error');
      equal(error.message, 'The patch is refused: an edit is beyond the end of the base');
      return;
    }
    throw new Error('it was taken');
  },
  'bytes of UTF-8 are counted'() {
    for (const [text, bytes] of [
      ['', 0],
      ['aé€😀', 10],
      ['\ud83d', 3],
      ['\ude00\ud83d', 6],
      ['\ud83da', 4],
      ['\u07ff\u0800\uffff', 8],
    ]) {
      equal([utf8Length(text), countedLength(text)], [bytes, bytes], JSON.stringify(text));
    }
  },
};
