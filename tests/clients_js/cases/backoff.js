import { createBackoff } from '../../../ops/clients/js/src/backoff.js';
import { equal, isTrue } from './checks.js';

export const backoff = {
  'pauses double up to the longest, and begin anew'() {
    const one = createBackoff({ random: () => 1 });
    equal([1, 2, 3, 4, 5, 6, 7].map(() => one.next()), [
      1000, 2000, 4000, 8000, 16000, 30000, 30000,
    ]);
    one.reset();
    equal(one.next(), 1000);
  },
  'half of a pause is at random'() {
    const random = [0, 0.5, 0.999];
    const one = createBackoff({ first: 4000, most: 4000, random: () => random.shift() });
    equal([one.next(), one.next(), one.next()], [2000, 3000, 3998]);
  },
  'without options it is random'() {
    const one = createBackoff();
    const pause = one.next();
    isTrue(pause >= 500 && pause <= 1000, `500 <= ${pause} <= 1000`);
  },
};
