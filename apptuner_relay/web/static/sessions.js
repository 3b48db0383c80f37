// The sessions that are connected now, and the button that closes one.

import { count, counted, duration, joined, traffic } from './format.js';
import { $, make, setRows, setText } from './dom.js';

const SHOWN = 100;
const EVERY_MS = 4_000;
const SEVERAL_CLIS = 'Several CLIs of one project are connected, and each sends its bundles to the phones.';
const NAMES = {
  cli: ['CLI', 'CLIs'], dashboard: ['dashboard'], desktop: ['desktop'], mobile: ['phone'],
};

let connected = 0;
let asked = 0;
let asking = false;

/** Fetch the list, but not too often. `sessions` is how many sessions there are. */
export async function refreshSessions(sessions = connected, isForced = false) {
  connected = sessions;
  if (asking || (!isForced && Date.now() - asked < EVERY_MS)) return;
  asking = true;
  try {
    const answer = await fetch(`api/sessions?most=${SHOWN}`, { cache: 'no-store' });
    if (answer.ok) show((await answer.json()).sessions);
  } catch {
    // The connection is lost: the line to the relay says so.
  } finally {
    asking = false;
    asked = Date.now();
  }
}

/** "CLI · 2 phones", of a list of roles. */
export function who(roles) {
  return Object.keys(NAMES)
    .map((role) => [roles.filter((r) => r === role).length, NAMES[role]])
    .filter(([n]) => n > 0)
    .map(([n, [one, many]]) => (n === 1 ? one : counted(n, one, many)))
    .join(' · ');
}

function show(sessions) {
  // In an order that stays, so that no row moves away under a finger: the oldest first.
  const sorted = [...sessions].sort(
    (a, b) => b.slow - a.slow || b.several_clis - a.several_clis || b.age_s - a.age_s || (a.session < b.session ? -1 : 1),
  );
  $('session-table').hidden = !sorted.length;
  $('no-sessions').hidden = sorted.length > 0;
  setRows($('session-rows'), sorted, (s) => s.session, create, update);
  const more = connected - SHOWN;
  $('more-sessions').hidden = more <= 0;
  setText($('more-sessions'), more > 0 ? `and ${count(more)} more` : '');
}

function create(session) {
  const button = make('button', {
    type: 'button', class: 'quiet', 'aria-label': `Close session ${session.session}`,
  }, 'Close');
  const row = make('tr', {},
    make('th', { scope: 'row' }, session.session),
    make('td', { class: 'who' },
      make('span'), ' ', make('span', { class: 'slow', hidden: '' }, 'slow'),
      make('span', { class: 'slow', hidden: '', title: SEVERAL_CLIS }, 'several CLIs'), make('small')),
    ...['Connected', 'Idle', 'In', 'Out'].map((label) => make('td', { 'data-label': label }, make('span'))),
    make('td', { class: 'act' }, button));
  button.addEventListener('click', () => ask(session.session, row.cells[1].firstChild.textContent));
  return row;
}

function update(row, session) {
  const [, cell, age, idle, received, sent] = row.cells;
  const [roles, slow, severalClis, devices] = cell.children;
  setText(roles, who(session.roles));
  slow.hidden = !session.slow;
  severalClis.hidden = !session.several_clis;
  setText(devices, session.devices.map(describe).join(', '));
  setText(age.firstChild, duration(session.age_s));
  setText(idle.firstChild, duration(session.idle_s));
  setText(received.firstChild, joined(traffic(session.bytes_in)));
  setText(sent.firstChild, joined(traffic(session.bytes_out)));
}

function describe({ name, platform, deviceId }) {
  const system = { ios: 'iOS', android: 'Android' }[platform];
  return (name ?? deviceId) + (system ? ` (${system})` : '');
}

function ask(session, clients) {
  const dialog = $('confirm');
  setText($('confirm-title'), `Close session ${session}?`);
  setText($('confirm-text'), `This disconnects: ${clients}. They may connect again.`);
  dialog.returnValue = '';
  dialog.onclose = () => { if (dialog.returnValue === 'close') close(session); };
  dialog.showModal();
}

async function close(session) {
  let text;
  let failed = true;
  try {
    const answer = await fetch(`api/sessions/${session}/close`, { method: 'POST' });
    const body = await answer.json();
    failed = !answer.ok;
    text = failed
      ? `Session ${session} was not closed: ${body.error}.`
      : `Session ${session} is closed: ${counted(body.closed, 'client')} disconnected.`;
  } catch {
    text = `Session ${session} was not closed: there is no connection to the relay.`;
  }
  $('said').toggleAttribute('data-failed', failed);
  setText($('said'), text);
  refreshSessions(connected, true);
}
