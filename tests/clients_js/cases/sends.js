import { createBundleSender } from '../../../ops/clients/js/src/bundle_sender.js';
import { createTime, equal, isTrue } from './checks.js';

const ONE = 'one();\n'.repeat(300);
const TWO = `${ONE}two();\n`;
const THREE = `three();\n${TWO}`;
const hash = (code) => ({ then: (action) => Promise.resolve(code.length.toString(16)).then(action) });

/** A CLI's bundles on a wire that the case plays. `said` has the types of what was sent since. */
function cli(options = {}) {
  const time = createTime();
  const texts = [];
  let pongs = [];
  const wire = {
    send: (text) => texts.push(JSON.parse(text)),
    buffered: () => 0,
    ping: (done) => pongs.push(done),
  };
  const bundles = createBundleSender({ wire, timers: time, hash, ...options });
  const answer = () => pongs.splice(0).forEach((done) => done());
  return {
    bundles,
    time,
    answer,
    said: () => texts.splice(0).map(({ type }) => type),
    last: () => texts[texts.length - 1],
    open(welcome = { patch: true }) {
      bundles.up(welcome);
      answer();
    },
    lose() {
      pongs = [];
      bundles.down();
    },
    kept: (code) => bundles.heed({ type: 'bundle_kept', sha256: code.length.toString(16) }),
    wanted: (reason = 'base') => bundles.heed({ type: 'bundle_wanted', reason }),
  };
}

/** After what promises that are settled do. */
function soon() {
  let turns = Promise.resolve();
  for (let n = 0; n < 10; n += 1) turns = turns.then(() => undefined);
  return turns;
}

/** A CLI whose first bundle, ONE, is kept. */
function afterOne(options) {
  const one = cli(options);
  one.open();
  const sent = one.bundles.send(ONE);
  return soon()
    .then(() => {
      one.answer();
      one.kept(ONE);
      return sent;
    })
    .then((result) => {
      equal([result.sent, one.said()], ['whole', ['bundle_update']]);
      return one;
    });
}

export const sends = {
  'whole, and then a patch'() {
    return afterOne().then((one) => {
      const sent = one.bundles.send(TWO);
      return soon()
        .then(() => {
          const { base, sha256, units } = one.last();
          equal([base, sha256, units], [ONE, TWO, TWO.length].map((x) => (x.length ? x.length.toString(16) : x)));
          equal(one.said(), ['bundle_patch']);
          one.kept(TWO);
          return sent;
        })
        .then((result) => isTrue(result.sent === 'patch' && result.bytes < 300, 'a short patch'));
    });
  },
  'a patch that is refused, and the whole behind it'() {
    return afterOne().then((one) => {
      const sent = one.bundles.send(TWO);
      return soon()
        .then(() => {
          one.wanted();
          one.answer();
          equal(one.said(), ['bundle_patch', 'bundle_update']);
          return sent;
        })
        .then((result) => isTrue(result.sent === 'whole' && result.bytes > TWO.length, 'bytes of both'));
    });
  },
  'no patch where the welcome says nothing of them, or the program wants none'() {
    const silent = cli();
    silent.open({});
    silent.bundles.send(ONE);
    return soon()
      .then(() => {
        silent.answer();
        return soon();
      })
      .then(() => {
        silent.bundles.send(TWO);
        return soon();
      })
      .then(() => equal(silent.said(), ['bundle_update', 'bundle_update']))
      .then(() => afterOne({ patch: false }))
      .then((one) => {
        one.bundles.send(TWO);
        return soon().then(() => equal(one.said(), ['bundle_update']));
      });
  },
  'what a lost connection cuts is sent again'() {
    return afterOne().then((one) => {
      const sent = one.bundles.send(TWO);
      return soon()
        .then(() => {
          equal(one.said(), ['bundle_patch']);
          one.lose();
          one.kept(THREE);
          return soon();
        })
        .then(() => {
          equal(one.said(), []);
          one.open();
          equal(one.said(), ['bundle_update']);
          one.answer();
          return sent;
        })
        .then((result) => equal(result.sent, 'whole'));
    });
  },
  'what is sent before there is a connection waits for it'() {
    const one = cli();
    one.bundles.send(ONE);
    return soon().then(() => {
      equal(one.said(), []);
      one.open();
      equal(one.said(), ['bundle_update']);
    });
  },
  'a phone that comes gets the last one, once'() {
    return afterOne().then((one) => {
      one.bundles.sendAgain();
      one.bundles.sendAgain();
      return soon()
        .then(() => {
          equal([one.last().edits, one.said()], [[], ['bundle_patch']]);
          one.kept(ONE);
          return soon();
        })
        .then(() => equal(one.said(), []));
    });
  },
  'a phone that comes while a bundle is under way gets it behind that'() {
    return afterOne().then((one) => {
      one.bundles.send(TWO);
      return soon()
        .then(() => {
          one.bundles.sendAgain();
          equal(one.said(), ['bundle_patch']);
          one.kept(TWO);
          return soon();
        })
        .then(() => equal(one.said(), ['bundle_patch']));
    });
  },
  'phones that were there when it comes back get what it sends then'() {
    return afterOne().then((one) => {
      one.lose();
      one.bundles.up({ patch: true });
      one.bundles.sendAgain();
      one.bundles.send(TWO);
      return soon()
        .then(() => {
          equal(one.said(), []);
          one.answer();
          equal(one.said(), ['bundle_patch']);
          one.kept(TWO);
          return soon();
        })
        .then(() => equal(one.said(), []));
    });
  },
  'a phone asks for the whole where the relay has nothing'() {
    return afterOne().then((one) => {
      one.wanted();
      return soon().then(() => equal(one.said(), ['bundle_update']));
    });
  },
  'the word that a bundle is kept is waited for, once'() {
    const one = cli();
    one.open();
    one.bundles.send(ONE);
    return soon()
      .then(() => {
        one.answer();
        one.bundles.send(TWO);
        return soon();
      })
      .then(() => {
        equal(one.said(), ['bundle_update']);
        one.time.advance(2000);
        equal(one.said(), ['bundle_update']);
        one.answer();
        one.bundles.send(THREE);
        return soon();
      })
      .then(() => equal(one.said(), ['bundle_update']));
  },
  'a patch without an answer counts as sent'() {
    return afterOne().then((one) => {
      const sent = one.bundles.send(TWO);
      return soon()
        .then(() => {
          one.time.advance(15000);
          one.answer();
          return sent;
        })
        .then((result) => equal([result.sent, one.said()], ['patch', ['bundle_patch']]));
    });
  },
  'code with half a surrogate pair goes whole'() {
    return afterOne().then((one) => {
      one.bundles.send(`${ONE}\ud83d`);
      return soon().then(() => equal(one.said(), ['bundle_update']));
    });
  },
  'closed, it refuses what waits and what comes'() {
    const one = cli();
    const refusals = [];
    const note = (error) => refusals.push(error.message);
    const early = one.bundles.send(ONE).catch(note);
    one.bundles.stop(new Error('the CLI is closed'));
    return Promise.all([early, one.bundles.send(TWO).catch(note)]).then(() =>
      equal(refusals, ['the CLI is closed', 'the CLI is closed']),
    );
  },
};
