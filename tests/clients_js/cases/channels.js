import {
  EVENT_EVERY_MS,
  MOST_EVENT_BYTES,
  createChannelOutbox,
} from '../../../ops/clients/js/src/channel_outbox.js';
import {
  createChannelMemory,
  createChannelTalk,
  newEpoch,
} from '../../../ops/clients/js/src/channel_talk.js';
import { createTime, equal, isTrue } from './checks.js';

const RELAY = 'relay:0123456789ab:node';
const ME = 'mobile:0123456789ab:p1';
const SHA256 = 'ab'.repeat(32);

function talk(options = {}) {
  return createChannelTalk({
    session: 'ABC234',
    userId: ME,
    memory: createChannelMemory(),
    epoch: '0a0b0c0d',
    ...options,
  });
}

const event = (n, messages = [{ type: 'reload', n }], more = {}) => ({
  epoch: '11111111',
  n,
  to: 'phones',
  messages,
  ...more,
});

/** The types of what is heard, with a mark where something was lost. */
function heard(one, events, sender = RELAY) {
  return events.map((each) => {
    const { messages, wantsState } = one.hear(sender, each);
    return messages.map((message) => message.type).join() + (wantsState ? '?' : '');
  });
}

export const channels = {
  'events in order, again, with a gap, and of a relay that begins anew'() {
    const one = talk();
    const events = [event(5), event(6), event(6), event(5), event(8), event(9)];
    equal(heard(one, events), ['reload', 'reload', '', '', 'reload?', 'reload']);
    equal(heard(one, [event(1, undefined, { epoch: '22222222' })]), ['reload?']);
  },
  'whom events are for'() {
    const to = (whom, n) => event(n, undefined, { to: whom });
    const one = talk();
    equal(heard(one, [to('phones', 1), to('desktop', 2), to([ME], 3), to(['x'], 4), to(null, 5)]), [
      'reload',
      '',
      'reload',
      '',
      '',
    ]);
    equal(heard(talk({ userId: 'cli:0123456789ab:' }), [to('desktop', 1), to('phones', 2)]), ['reload', '']);
  },
  'only relays are believed'() {
    equal(heard(talk(), [event(1)], 'mobile:0123456789ab:evil'), ['']);
    equal(heard(talk(), [event(1)], undefined), ['reload']);
  },
  'what is no event'() {
    const wrong = [
      null,
      'text',
      {},
      event(0),
      event(1.5),
      event('1'),
      event(1, 'messages'),
      event(1, undefined, { epoch: 'x' }),
      event(1, undefined, { epoch: 5 }),
    ];
    equal(heard(talk(), wrong), wrong.map(() => ''));
    equal(heard(talk(), [event(1, [null, 5, {}, { type: 1 }, { type: 'reload' }])]), ['reload']);
  },
  'a bundle has the address of the relay that is known'() {
    const one = talk();
    const available = { type: 'bundle_available', url: 'https://evil.example', sha256: SHA256, size: 5 };
    const { messages } = one.hear(RELAY, event(1, [available]));
    equal(messages[0].url, `/bundles/ABC234/${SHA256}`);
    equal(heard(one, [event(2, [{ ...available, sha256: '../x' }])]), ['']);
    const state = { type: 'state', devices: [], bundle: available };
    // It was told of that one.
    equal(heard(one, [event(3, [state])]), ['device_list']);
    equal(heard(talk(), [event(1, [state])]), ['device_list,bundle_available']);
    equal(heard(talk(), [event(1, [{ type: 'state', devices: null, bundle: null }])]), ['']);
  },
  'what it says is numbered, and the last acknowledgement remembered'() {
    const memory = createChannelMemory();
    const one = talk({ memory });
    const ack = { type: 'bundle_ack', success: true };
    equal(one.say([{ type: 'a' }, ack]), { epoch: '0a0b0c0d', n: 1, messages: [{ type: 'a' }, ack] });
    equal(one.askForState().n, 2);
    equal(talk({ memory }).tellState().messages, [{ type: 'state', ack }]);
  },
  'epochs have eight digits'() {
    equal([newEpoch(() => 0), newEpoch(() => 0.9999999999)], ['00000000', 'ffffffff']);
  },
  'messages are joined, and events apart'() {
    const time = createTime();
    const sent = [];
    const outbox = createChannelOutbox({ send: (messages) => sent.push(messages.length), timers: time });
    for (let n = 0; n < 5; n += 1) outbox.add({ type: 'log', n });
    equal(sent, []);
    time.advance(0);
    equal(sent, [5]);
    const long = { type: 'log', text: 'é'.repeat(2000) };
    for (let n = 0; n < 3; n += 1) isTrue(outbox.add(long), 'it has room');
    time.advance(EVENT_EVERY_MS);
    equal(sent, [5, 2]);
    time.advance(EVENT_EVERY_MS);
    equal(sent, [5, 2, 1]);
    time.advance(10000);
    equal([sent.length, time.waiting()], [3, 0]);
    isTrue(!outbox.add({ type: 'log', text: 'x'.repeat(MOST_EVENT_BYTES) }), 'too long');
    outbox.add(long);
    outbox.flush();
    equal(sent, [5, 2, 1, 1]);
    outbox.add(long);
    outbox.stop();
    time.advance(10000);
    equal(sent.length, 4);
  },
};
