// What became of a bundle, in words. Pure.

import { phoneName } from './client_words.js';
import { counted, listed } from './format.js';

const FORMS = { whole: 'whole', chunks: 'in chunks', patch: 'patch', upload: 'upload' };
const PHONE_STATES = {
  waiting: 'waits for it', getting: 'gets it', sent: 'has it, and said nothing yet', acknowledged: 'acknowledged', failed: 'failed',
  cut: 'cut short', left: 'left', superseded: 'got a newer one instead',
};

export const formOf = ({ form }) => FORMS[form] ?? form ?? '–';

/** What one phone made of it: "SyntaxError: …", "acknowledged", "left: …". */
export function phoneOutcome({ state, error, why }) {
  if (state === 'failed') return error ?? why ?? 'failed';
  const said = PHONE_STATES[state] ?? state;
  return why ? `${said}: ${why}` : said;
}

/**
 * What became of a bundle: `{level, text, lines}`. `lines` has a text for each phone of which there is
 * more to say than that it acknowledged.
 */
export function outcomeOf({ state, why, phones = [], settled }) {
  const failed = phones.filter((phone) => phone.state === 'failed');
  const done = phones.filter((phone) => phone.state === 'acknowledged').length;
  const lines = phones
    .filter((phone) => phone.state !== 'acknowledged' && (phone.state !== 'sent' || phone.why))
    .filter((phone) => !(state === 'cut' && phone.state === 'cut' && (!phone.why || phone.why === why)))
    .map((phone) => `${phoneName(phone)}: ${phoneOutcome(phone)}`);
  if (failed.length) return { level: 'warning', text: `failed on ${listed(failed.map(phoneName))}`, lines };
  if (state === 'cut') return { level: 'warning', text: why ? `cut short: ${why}` : 'cut short', lines };
  if (state === 'arriving') return { level: 'info', text: 'arriving', lines };
  if (!phones.length) return { level: 'notice', text: 'no phone was there', lines };
  if (done === phones.length) return { level: 'info', text: `acknowledged by ${done === 1 ? phoneName(phones[0]) : counted(done, 'phone')}`, lines };
  const open = settled ? 'no more was heard' : 'under way';
  return { level: settled ? 'notice' : 'info', text: `acknowledged by ${done} of ${counted(phones.length, 'phone')}, ${open}`, lines };
}
