import { makePatch } from '../../../ops/clients/js/src/patch_making.js';
import { createPhoneBundles, errorText } from '../../../ops/clients/js/src/phone_bundles.js';
import { createPhoneReports } from '../../../ops/clients/js/src/phone_reports.js';
import { createSendQueue } from '../../../ops/clients/js/src/send_queue.js';
import { equal, isTrue } from './checks.js';

const [A, B, C] = ['aa', 'bb', 'cc'].map((digits) => digits.repeat(32));
const ONE = 'one();\n'.repeat(300);
const TWO = `${ONE}two();\n`;
const NAMES = new Map([
  [ONE, 'ONE'],
  [TWO, 'TWO'],
]);

const whole = (code) => ({ type: 'bundle_update', payload: { code } });
const id = (sha256, code) => ({ type: 'bundle_id', sha256, units: code.length });
const available = (sha256, size = 5) => ({ type: 'bundle_available', sha256, size });
const patch = (base, sha256, from, to) => ({ type: 'bundle_patch', base, sha256, ...makePatch(from, to) });
const unchanged = (sha256) => ({ type: 'bundle_unchanged', sha256 });

/** A phone, and what comes of messages: in short words. */
function phone(have = null) {
  const seen = [];
  const bundles = createPhoneBundles({
    have,
    on: {
      code: (code, { sha256, from }) => seen.push(`${from} ${NAMES.get(code) || code} ${short(sha256)}`),
      label: (sha256) => seen.push(`label ${short(sha256)}`),
      say: ({ type, reason }) => seen.push(`${type} ${reason}`),
      unchanged: () => seen.push('unchanged'),
      download: (bundle) => seen.push(bundle === null ? 'leave' : `download ${short(bundle.sha256)}`),
      failed: (text) => seen.push(`failed: ${text}`),
    },
  });
  return {
    bundles,
    hear(...messages) {
      messages.forEach((message) => bundles.heed(message));
      return seen.splice(0);
    },
  };
}

function short(sha256) {
  return sha256 === null ? '-' : sha256.slice(0, 2);
}

export const phones = {
  'a whole bundle, its label, and a patch of it'() {
    const { hear, bundles } = phone();
    equal(hear(whole(ONE)), ['whole ONE -']);
    equal(bundles.label(), null);
    equal(hear(id(A, ONE)), ['label aa']);
    equal(hear(patch(A, B, ONE, TWO)), ['patch TWO bb', 'label bb']);
    equal(bundles.label(), B);
  },
  'a label of other code is none'() {
    const { hear, bundles } = phone();
    hear(whole(ONE));
    equal(hear({ type: 'bundle_id', sha256: A, units: 1 }, { type: 'bundle_id', units: ONE.length }), []);
    equal(bundles.label(), null);
  },
  'a patch that does not fit is answered, and changes nothing'() {
    const { hear, bundles } = phone();
    equal(hear(patch(A, B, ONE, TWO)), ['bundle_wanted base']);
    hear(whole(ONE), id(A, ONE));
    equal(hear(patch(C, B, ONE, TWO)), ['bundle_wanted base']);
    equal(hear({ ...patch(A, B, ONE, TWO), units: 5 }), ['bundle_wanted units']);
    equal(hear({ ...patch(A, B, ONE, TWO), edits: [[0, 1, 2]] }), ['bundle_wanted malformed']);
    equal(bundles.label(), A);
    equal(hear(whole(TWO)), ['whole TWO -']);
  },
  'a patch of what it has already runs nothing'() {
    const { hear } = phone();
    hear(whole(ONE), id(A, ONE));
    equal(hear(patch(A, A, ONE, ONE)), ['unchanged']);
  },
  'what it had from the start runs when the relay says so, once'() {
    const { hear } = phone({ code: ONE, sha256: A });
    equal(hear(unchanged(A)), ['have ONE aa']);
    equal(hear(unchanged(A)), ['unchanged']);
    equal(hear(patch(A, B, ONE, TWO)), ['patch TWO bb', 'label bb']);
  },
  'unchanged, of what is not here'() {
    equal(phone().hear(unchanged(A)), ['bundle_wanted base']);
    equal(phone({ code: ONE, sha256: B }).hear(unchanged(A)), ['bundle_wanted base']);
  },
  'chunks over a lost connection are no bundle'() {
    const { hear, bundles } = phone();
    const chunk = (index) => ({ type: 'bundle_chunk', index, totalChunks: 2, data: `${index};` });
    const start = { type: 'bundle_start', totalChunks: 2, totalSize: 4 };
    equal(hear(start, chunk(0)), []);
    bundles.cut();
    const lost = 'failed: the bundle could not be put together: order';
    equal(hear(chunk(1), chunk(1)), [lost]);
    equal(hear(start, chunk(0), chunk(1)), ['whole 0;1; -']);
    equal(hear(start, chunk(1)), [lost]);
  },
  'a bundle that is announced, and those that come before it is here'() {
    const { hear, bundles } = phone();
    equal(hear(available(A), available(A)), ['download aa']);
    equal(hear(available(B)), ['download bb']);
    bundles.downloaded(TWO);
    equal(hear(), ['url TWO bb', 'label bb']);
    equal(hear(available(B)), ['unchanged']);
    equal(hear(available(A), available(B)), ['download aa', 'leave', 'unchanged']);
    equal(hear(available(C)), ['download cc']);
    bundles.downloadFailed('gone');
    equal(hear(), ['failed: gone']);
    equal(hear(available(C), whole(ONE)), ['download cc', 'leave', 'whole ONE -']);
  },
  'what is of no bundle is left to others'() {
    isTrue(!phone().bundles.heed({ type: 'reload' }), 'reload');
  },
  'errors as texts'() {
    equal(errorText(new TypeError('no')), 'TypeError: no');
    equal(errorText('text'), 'text');
    equal(errorText(undefined), 'undefined');
    equal(errorText('x'.repeat(5000)).length, 2000);
  },
  'what phones report, of whatever form'() {
    const seen = [];
    const heed = createPhoneReports({
      devices: (devices) => seen.push(devices.length),
      acknowledgement: (ack) => seen.push(ack),
      log: ({ level, args }) => seen.push([level, args]),
      phoneConnected: ({ name }) => seen.push(name),
    });
    heed({ type: 'device_list', devices: [{}] });
    heed({ type: 'device_list', devices: 5 });
    heed({ type: 'bundle_ack', success: 1, error: {}, timestamp: 7 });
    heed({ type: 'console_log', payload: { level: 'warn', args: [1] } });
    heed({ type: 'console_log', payload: null });
    heed({ type: 'mobile_connected', deviceName: 'Pixel 9' });
    isTrue(heed({ type: 'mobile_disconnected' }) && !heed({ type: 'reload' }), 'what it takes');
    heed({ type: 'bundle_ack', success: true, deviceId: 'ann', deviceName: 'Ann', timestamp: 8 });
    const ack = { deviceId: null, name: null, success: false, error: null, sha256: null, timestamp: 7 };
    const named = { ...ack, deviceId: 'ann', name: 'Ann', success: true, timestamp: 8 };
    equal(seen, [1, 0, ack, ['warn', [1]], ['log', []], 'Pixel 9', named]);
  },
  'bundles are sent one after the other, and only the newest waits'() {
    const begun = [];
    const queue = createSendQueue((job) => begun.push(job.code));
    const ignored = () => undefined;
    ['a', 'b', 'c'].forEach((code) => queue.add({ code }).then(ignored, ignored));
    equal(begun, ['a']);
    queue.done({});
    equal(begun, ['a', 'c']);
    queue.failed(new Error('no'));
    equal(queue.current(), null);
    queue.add({ code: 'd' }).then(ignored, ignored);
    equal(begun, ['a', 'c', 'd']);
    queue.stop(new Error('closed'));
    queue.add({ code: 'e' }).then(ignored, ignored);
    equal([begun.length, queue.current()], [3, null]);
  },
};
