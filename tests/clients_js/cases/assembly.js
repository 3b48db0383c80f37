import { createBundleAssembly } from '../../../ops/clients/js/src/bundle_assembly.js';
import { CHUNK_UNITS, bundleMessages } from '../../../ops/clients/js/src/bundle_messages.js';
import { equal, isTrue } from './checks.js';

const start = (totalChunks) => ({ type: 'bundle_start', totalChunks, totalSize: 9 });
const chunk = (index, data, totalChunks) => ({ type: 'bundle_chunk', index, totalChunks, data });
const whole = (code) => ({ type: 'bundle_update', payload: { code } });

/** What comes of messages: the code of each bundle, and faults with a mark. */
function assembled(messages, options = {}) {
  const seen = [];
  const onFault = (fault) => seen.push(`!${fault}`);
  const assembly = createBundleAssembly({ onFault, ...options });
  messages.forEach((message) => {
    if (message === 'reconnect') {
      assembly.reset();
      return;
    }
    const bundle = assembly.take(message);
    if (bundle !== null) seen.push(bundle.code);
  });
  return seen;
}

function sent(code, options = {}) {
  return Array.from(bundleMessages(code, { timestamp: 5, ...options }), (one) => JSON.parse(one));
}

export const assembly = {
  'a bundle in one message, with its source map'() {
    const one = createBundleAssembly();
    equal(one.take({ type: 'bundle_update', payload: { code: 'a', sourceMap: 'm' } }), {
      code: 'a',
      sourceMap: 'm',
    });
    equal(one.take({ type: 'bundle_update', payload: { code: '' } }), { code: '' });
  },
  'chunks are joined in their order, empty and long ones too'() {
    equal(assembled([start(3), chunk(0, 'a', 3), chunk(1, '', 3), chunk(2, 'bcd', 3)]), ['abcd']);
  },
  'other messages between chunks change nothing'() {
    const between = [{ type: 'pong' }, { type: 'bundle_id', sha256: 'x' }, { type: 'reload' }];
    equal(assembled([start(2), chunk(0, 'a', 2), ...between, chunk(1, 'b', 2)]), ['ab']);
  },
  'a newer bundle takes the place of one that has begun'() {
    equal(assembled([start(2), chunk(0, 'a', 2), start(1), chunk(0, 'b', 1)]), ['b']);
    equal(assembled([start(2), chunk(0, 'a', 2), whole('b')]), ['b']);
    equal(assembled([start(2), chunk(0, 'a', 2), whole('b'), chunk(1, 'c', 2)]), ['b', '!order']);
  },
  'a patch, and word that nothing has changed, end one that has begun'() {
    for (const type of ['bundle_patch', 'bundle_unchanged']) {
      equal(assembled([start(2), chunk(0, 'a', 2), { type }, chunk(1, 'b', 2)]), ['!order'], type);
    }
  },
  'a new connection begins anew'() {
    equal(assembled([start(2), chunk(0, 'a', 2), 'reconnect', chunk(1, 'b', 2)]), ['!order']);
    equal(assembled([start(2), chunk(0, 'a', 2), 'reconnect', start(1), chunk(0, 'c', 1)]), ['c']);
  },
  'a chunk that is missing, comes twice or is of another bundle is told once'() {
    equal(assembled([start(3), chunk(0, 'a', 3), chunk(2, 'c', 3), chunk(1, 'b', 3)]), ['!order']);
    equal(assembled([start(3), chunk(0, 'a', 3), chunk(0, 'a', 3)]), ['!order']);
    equal(assembled([start(2), chunk(0, 'a', 2), chunk(1, 'b', 3)]), ['!order']);
    equal(assembled([start(2), chunk(1, 'b', 2), whole('c'), chunk(0, 'd', 1)]), [
      '!order',
      'c',
      '!order',
    ]);
  },
  'what is malformed is given up, and the next bundle is not'() {
    for (const bad of [
      start(0),
      start(-1),
      start(1.5),
      start('2'),
      start(undefined),
      { type: 'bundle_update' },
      { type: 'bundle_update', payload: null },
      { type: 'bundle_update', payload: { code: 5 } },
    ]) {
      equal(assembled([bad, whole('next')]), ['!malformed', 'next'], JSON.stringify(bad));
    }
    equal(assembled([start(1), chunk(0, null, 1), start(1), chunk(0, 'b', 1)]), ['!malformed', 'b']);
  },
  'there is an end to what is put together'() {
    equal(assembled([start(65537)]), ['!too_big']);
    equal(assembled([whole('abcd')], { mostUnits: 3 }), ['!too_big']);
    const two = [start(3), chunk(0, 'ab', 3), chunk(1, 'cd', 3), chunk(2, 'e', 3)];
    equal(assembled(two, { mostUnits: 3 }), ['!too_big']);
    equal(assembled(two, { mostUnits: 5 }), ['abcde']);
  },
  'a short bundle is sent in one message, its target first'() {
    equal(sent('a', { sourceMap: 'm' }), [
      { type: 'bundle_update', payload: { code: 'a', sourceMap: 'm' }, timestamp: 5 },
    ]);
    const [text] = Array.from(bundleMessages('a', { timestamp: 5, targetDeviceId: 'd' }));
    isTrue(text.startsWith('{"type":"bundle_update","targetDeviceId":"d",'), text);
    equal(sent('x'.repeat(CHUNK_UNITS)).length, 1);
  },
  'a long bundle is sent as the CLI sends it, and put together again'() {
    const code = 'x'.repeat(CHUNK_UNITS) + 'y'.repeat(CHUNK_UNITS) + 'z';
    const messages = sent(code, { targetDeviceId: 'd' });
    equal(messages[0], {
      type: 'bundle_start',
      targetDeviceId: 'd',
      totalChunks: 3,
      totalSize: code.length,
      timestamp: 5,
    });
    equal(
      messages.slice(1).map(({ data, ...rest }) => [rest, data.length]),
      [0, 1, 2].map((index) => [
        { type: 'bundle_chunk', targetDeviceId: 'd', index, totalChunks: 3 },
        index < 2 ? CHUNK_UNITS : 1,
      ]),
    );
    isTrue(assembled(messages)[0] === code, 'the same code');
  },
  'no chunk parts the halves of a surrogate pair'() {
    const code = `${'x'.repeat(CHUNK_UNITS - 1)}🛒${'🛍'.repeat(CHUNK_UNITS)}`;
    const messages = sent(code);
    messages.slice(1).forEach(({ data }) => {
      const last = data.charCodeAt(data.length - 1);
      isTrue(last < 0xd800 || last >= 0xdc00, 'a chunk ends with a whole character');
    });
    isTrue(assembled(messages)[0] === code, 'the same code');
  },
};
