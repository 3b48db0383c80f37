// The last 50 events: who came, left or was refused and why, bundles, failed acknowledgements,
// warnings.

import { $, make, setRows, setText } from './dom.js';
import { capital, moment } from './format.js';

const SHOWN_AT_FIRST = 12;
const NAMES = {
  connected: 'Connected', disconnected: 'Left', refused: 'Refused', bundle: 'Bundle', failed: 'Failed',
  warning: 'Warning',
};
const FILTERS = [
  ['all', 'all', () => true],
  ['trouble', 'trouble', ({ kind, level }) => level === 'warning' || ['refused', 'failed', 'warning'].includes(kind)],
  ['bundles', 'bundles', ({ kind }) => ['bundle', 'failed'].includes(kind)],
  ['clients', 'clients', ({ kind }) => ['connected', 'disconnected', 'refused'].includes(kind)],
  ['warnings', 'warnings', ({ kind }) => kind === 'warning'],
];
const EMPTY = {
  trouble: 'No trouble: nobody was refused, no acknowledgement failed, no warning began.',
  bundles: 'No bundle among the last events.',
  clients: 'No client came or left lately.',
  warnings: 'No warning began or ended lately.',
};

let last = null;
let isAll = false;

/** @param onSession called with the hash of the session of an event that was chosen */
export function showEvents(status, onSession) {
  if (last === null) begin();
  last = { status, onSession };
  const [name, , matches] = FILTERS.find(([one]) => one === $('event-kind').value) ?? FILTERS[0];
  const events = eventsOf(status).filter(matches);
  const shown = isAll ? events : events.slice(0, SHOWN_AT_FIRST);
  $('no-events').hidden = events.length > 0;
  if (!events.length) setText($('no-events'), emptyText(status, name));
  $('event-rows').hidden = !events.length;
  setRows($('event-rows'), shown, ({ id }) => id, create, (row, event) => update(row, event, status.now_ms));
  $('all-events').hidden = events.length <= SHOWN_AT_FIRST;
  setText($('all-events'), isAll ? `Show the last ${SHOWN_AT_FIRST}` : `Show all ${events.length}`);
}

/** The events of a status, the newest first. One that happens again is one row, with its last time. */
export const eventsOf = ({ events }) => [...(events ?? [])].sort((a, b) => b.at_ms - a.at_ms || b.id - a.id);

function emptyText({ events }, name) {
  if (!events) return 'This relay lists no events; its log has them.';
  return events.length ? EMPTY[name] : 'Nothing has happened yet: clients that come, go or are refused are listed here, bundles and warnings.';
}

function begin() {
  $('event-kind').replaceChildren(...FILTERS.map(([value, text]) => make('option', { value }, text)));
  $('event-kind').addEventListener('change', again);
  $('all-events').addEventListener('click', () => { isAll = !isAll; again(); });
}

const again = () => showEvents(last.status, last.onSession);

function create(event) {
  const row = make('li', { 'data-kind': event.kind, 'data-level': event.level }, make('time'), make('b'), make('span'));
  if (event.session) {
    const button = make('button', { type: 'button', class: 'link', 'aria-label': `Find session ${event.session}` }, event.session);
    button.addEventListener('click', () => last.onSession(event.session));
    row.append(button);
  }
  return row;
}

function update(row, event, nowMs) {
  const [time, kind, text] = row.children;
  time.setAttribute('datetime', new Date(event.at_ms).toISOString());
  setText(time, moment(event.at_ms, nowMs, true));
  setText(kind, `${event.level === 'warning' ? '▲ ' : ''}${NAMES[event.kind] ?? capital(event.kind)}`);
  setText(text, event.text);
}
