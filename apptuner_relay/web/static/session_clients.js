// The clients that are in a session now.

import { roleOf, systemOf } from './client_words.js';
import { capital, clock, duration, joined, milliseconds } from './format.js';
import { $, make, setRows, setText } from './dom.js';
import { nameOf } from './session_answer.js';

/** `nowMs` is the relay's time. */
export function showClients(clients, nowMs) {
  $('client-table').hidden = !clients.length;
  $('no-clients').hidden = clients.length > 0;
  const seen = new Map();
  const keyed = clients.map((client) => {
    const key = `${client.role} ${client.deviceId ?? ''} ${client.since_ms}`;
    seen.set(key, (seen.get(key) ?? 0) + 1);
    return { ...client, key: `${key} ${seen.get(key)}` };
  });
  setRows($('client-rows'), keyed, ({ key }) => key, create, (row, client) => update(row, client, nowMs));
}

function create() {
  return make('tr', {},
    make('th', { scope: 'row' }, make('span'), make('small')),
    ...['Role', 'Since', 'Round trip', 'State'].map((label) => make('td', { 'data-label': label }, make('span'))));
}

function update(row, client, nowMs) {
  const [who, role, since, roundTrip, state] = row.cells;
  setText(who.firstChild, client.role === 'mobile' || client.name ? nameOf(client) : capital(roleOf(client.role)));
  const more = [systemOf(client.platform), client.agent, client.through && `through ${client.through}`];
  setText(who.lastChild, more.filter(Boolean).join(' · '));
  setText(role.firstChild, roleOf(client.role));
  setText(since.firstChild, duration(Math.max(0, nowMs - client.since_ms) / 1000));
  since.title = clock(client.since_ms, true);
  setText(roundTrip.firstChild, client.round_trip_ms === null ? '–' : joined(milliseconds(client.round_trip_ms)));
  state.dataset.behind = client.behind;
  setText(state.firstChild, client.behind ? 'behind' : 'live');
}
