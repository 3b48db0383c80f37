// An opened row of a session: its clients, its last bundles, and what can be done with it.

import { formOf, outcomeOf } from './bundle_words.js';
import { roleOf, systemOf } from './client_words.js';
import { make, setRows, setText } from './dom.js';
import { capital, duration, joined, milliseconds, moment, seconds, traffic, UNKNOWN } from './format.js';

const OLD_S = 120;
const CLIENTS = ['Client', 'Address', 'Program', 'Round trip', 'Connected', 'State'];
const BUNDLES = ['Bundle', 'Size', 'Arrived in', 'Reload', 'Outcome'];

const NO_BUNDLES = {
  none: 'No bundle was sent to this session yet.',
  asked: 'Looking for its bundles…',
  unknown: 'This relay keeps no record of bundles.',
};

/** @param ask the element in which the session is closed, of session_close.js */
export function createOpened(columns, ask) {
  const clients = table('Clients', CLIENTS);
  const bundles = table('Last bundles', BUNDLES);
  const link = make('a', { class: 'own', hidden: '' }, 'Its own page');
  const foot = make('div', { class: 'foot' }, make('p', { class: 'about' }), link, ask);
  return make('tr', { class: 'opened' }, make('td', { colspan: columns },
    make('div', { class: 'inside' }, clients, bundles, make('p', { class: 'none', hidden: '' }), foot)));
}

/** @param id the session's id, where the operator has typed it: its own page asks for that */
export function updateOpened(tr, { row, goneMs }, id, nowMs) {
  const [clients, bundles, none, foot] = tr.firstChild.firstChild.children;
  tr.classList.toggle('gone', goneMs !== null);
  showClients(clients, row, nowMs);
  showBundles(bundles, row.bundles ?? [], nowMs);
  bundles.hidden = !row.bundles?.length;
  none.hidden = Boolean(row.bundles?.length);
  setText(none, NO_BUNDLES[row.bundles ? 'none' : row.isBrief ? 'asked' : 'unknown']);
  const [about, link] = foot.children;
  setText(about, goneMs === null ? `Quiet for ${duration(row.idle_s)}.` : `This session has ended. What is shown is from ${moment(goneMs, nowMs, true)}.`);
  link.hidden = !id;
  if (id) link.setAttribute('href', `s#${id}`);
}

function showClients(part, row, nowMs) {
  const items = (row.clients ?? []).map((client, i) => ({ client, key: `${client.role} ${client.deviceId ?? i}` }));
  fill(part, items, CLIENTS, (cells, { client }) => {
    const { role, address, agent, deviceId, name, platform, since_ms: sinceMs, behind, through } = client;
    const device = name ?? deviceId;
    const system = systemOf(platform);
    const state = [behind ? '▲ behind' : 'live', through && `through ${through}`].filter(Boolean).join(', ');
    [
      [capital(roleOf(role)), device && `${device}${system ? `, ${system}` : ''}`].filter(Boolean).join(' · '),
      address ?? UNKNOWN, agent ?? UNKNOWN, roundTrip(client, nowMs),
      sinceMs === undefined ? UNKNOWN : duration((nowMs - sinceMs) / 1000), behind === undefined ? UNKNOWN : state,
    ].forEach((text, i) => setText(cells[i].firstChild, text));
    cells[5].toggleAttribute('data-bad', Boolean(behind));
  });
}

/** "12.3 ms", and how old that is: the relay pings seldom, as a ping wakes a phone. */
function roundTrip({ round_trip_ms: ms, round_trip_at_ms: atMs }, nowMs) {
  const agoS = atMs ? (nowMs - atMs) / 1000 : 0;
  return `${joined(milliseconds(ms))}${agoS >= OLD_S ? `, ${duration(agoS)} ago` : ''}`;
}

function showBundles(part, bundles, nowMs) {
  fill(part, bundles.map((bundle) => ({ bundle, key: bundle.id })), BUNDLES, (cells, { bundle }) => {
    const { level, text, lines } = outcomeOf(bundle);
    [
      moment(bundle.began_ms, nowMs, true), `${joined(traffic(bundle.bytes))}, ${formOf(bundle)}`,
      joined(seconds(bundle.in_s)), joined(seconds(bundle.acknowledged_s)),
      `${level === 'warning' ? '▲ ' : ''}${text}`,
    ].forEach((shown, i) => setText(cells[i].firstChild, shown));
    cells[4].dataset.level = level;
    const list = cells[4].lastChild;
    list.hidden = !lines.length;
    setRows(list, lines.map((line, i) => ({ line, i })), ({ i }) => i, () => make('li'), (li, { line }) => setText(li, line));
  }, () => make('ul', { class: 'lines' }));
}

function table(title, labels) {
  return make('table', { class: 'inner' }, make('caption', {}, title),
    make('thead', {}, make('tr', {}, ...labels.map((label) => make('th', { scope: 'col' }, label)))), make('tbody'));
}

function fill(part, items, labels, update, more = null) {
  setRows(part.tBodies[0], items, ({ key }) => key,
    () => make('tr', {}, ...labels.map((label, i) => make(i ? 'td' : 'th', i ? { 'data-label': label } : { scope: 'row' },
      make('span'), ...(more && i === labels.length - 1 ? [more()] : [])))),
    (tr, item) => update(tr.cells, item));
}
