// A session's bundles: the last one with where its time went, and those before it.

import { roleOf } from './client_words.js';
import { capital, clock, counted, duration } from './format.js';
import { $, draw, make, setRows, setText } from './dom.js';
import { bytes, latest, list, nameOf, seconds } from './session_answer.js';

const MARKS = {
  waiting: '…', getting: '…', sent: '?', acknowledged: '✓', failed: '✕', cut: '✕', left: '–', superseded: '–',
};
const FORMS = { patch: 'as a patch', unchanged: 'had it already', announced: 'told where it is' };

/** `nowMs` is the relay's time; `told` is an error that the page shows already. */
export function showBundles(bundles, nowMs, told = '') {
  const [last, ...earlier] = bundles;
  $('no-last').hidden = Boolean(last);
  $('last').hidden = !last;
  setText($('last-when'), last ? `${clock(last.began_ms, true)}, ${ago(nowMs - last.began_ms)}` : '');
  if (last) showLast(last, told);
  $('earlier').hidden = !earlier.length;
  setText($('earlier-note'), earlier.length ? counted(earlier.length, 'bundle') : '');
  setRows($('earlier-rows'), earlier, (bundle) => bundle.id, createRow, updateRow);
}

/** What became of a bundle: how grave it is, a symbol, and a line of text. */
export function resultOf(bundle) {
  const rows = latest(bundle.phones);
  const names = (...states) => list(rows.filter(({ state }) => states.includes(state)).map(nameOf));
  const [failed, cut, runs] = [names('failed'), names('cut'), names('acknowledged')];
  const [silent, replaced] = [names('sent', 'left'), names('superseded')];
  if (bundle.state === 'cut') return ['bad', '✕', `cut off: ${bundle.why ?? 'its sender was lost'}`];
  if (failed) return ['bad', '✕', `${failed}: ${rows.find(({ state }) => state === 'failed').error ?? 'failed'}`];
  if (cut) return ['bad', '✕', `${cut} was cut off`];
  if (!bundle.settled) return ['waiting', '…', 'on its way'];
  if (!rows.length) return ['doubt', '–', 'no phone was there'];
  if (silent) return ['doubt', '?', `no answer from ${silent}`];
  // Somebody saved again: nothing is wrong, and the next bundle tells more.
  if (replaced) return ['replaced', '–', `a newer one came before ${replaced} answered`];
  return ['ok', '✓', runs];
}

function showLast(bundle, told) {
  setText($('last-size'), bytes(bundle.bytes));
  setText($('last-in'), timeOf(bundle.in_s));
  setText($('last-out'), timeOf(bundle.last_out_s));
  setText($('last-reload'), timeOf(bundle.acknowledged_s));
  showTimes($('last-times'), bundle, told);
}

const timeOf = (s) => (s === null || s === undefined ? '–' : seconds(s));

/** A line for the sender, and one for each phone. */
function showTimes(times, bundle, shown = '') {
  const { phones, settled } = bundle;
  const lines = [{ key: 'sender', bundle }, ...phones.map((phone, i) => ({ key: `${phone.deviceId} ${i}`, phone, settled }))];
  const longest = Math.max(0.001, bundle.in_s ?? 0, ...bundle.phones.filter(isLive).map(endOf));
  setRows(times, lines, ({ key }) => key, createLine, (line, item) => updateLine(line, item, longest, shown));
}

const isLive = (phone) => phone.source !== 'kept';
const endOf = (phone) => Math.max(phone.last_out_s ?? 0, phone.answered_s ?? 0);

function createLine() {
  const bar = draw('svg', { class: 'bar', 'aria-hidden': 'true', height: 14 },
    draw('rect', { class: 'track', width: '100%', height: 2, y: 6 }),
    draw('rect', { class: 'span', height: 10, y: 2, rx: 2 }),
    draw('rect', { class: 'wait', height: 2, y: 6 }),
    draw('circle', { class: 'end', cy: 7, r: 4 }));
  return make('li', {},
    make('span', { class: 'mark', 'aria-hidden': 'true' }),
    make('b'), bar, make('span', { class: 'told' }), make('pre', { class: 'error', hidden: '' }));
}

function updateLine(line, { bundle, phone, settled }, longest, shown) {
  const [mark, name, bar, told, error] = line.children;
  const state = bundle ? bundle.state : phone.state;
  line.dataset.state = state;
  line.dataset.line = bundle ? 'sender' : 'phone';
  setText(mark, bundle ? '↑' : MARKS[phone.state] ?? '?');
  setText(name, bundle ? capital(roleOf(bundle.sender?.role ?? 'sender')) : nameOf(phone));
  setText(told, bundle ? senderSays(bundle) : phoneSays(phone, settled));
  const text = phone?.state === 'failed' ? phone.error ?? '' : '';
  error.hidden = !text || text === shown;
  setText(error, text);
  const from = bundle ? 0 : phone.first_out_s;
  const isGoing = state === 'getting' || state === 'arriving';
  const to = (bundle ? bundle.in_s : phone.last_out_s) ?? (isGoing ? longest : null);
  drawBar(bar, longest, bundle || isLive(phone) ? [from, to, bundle ? null : phone.answered_s] : [null, null, null]);
}

function drawBar(bar, longest, [from, to, end]) {
  const [, span, wait, dot] = bar.children;
  const x = (s) => `${((100 * s) / longest).toFixed(2)}%`;
  const hasSpan = from !== null && to !== null;
  set(span, hasSpan, { x: x(from ?? 0), width: x(Math.max((to ?? 0) - (from ?? 0), longest / 200)) });
  set(wait, hasSpan && end !== null, { x: x(to ?? 0), width: x(Math.max(0, (end ?? 0) - (to ?? 0))) });
  set(dot, end !== null, { cx: x(end ?? 0) });
}

function set(element, isShown, attributes) {
  element.toggleAttribute('hidden', !isShown);
  for (const [name, value] of Object.entries(attributes)) {
    if (element.getAttribute(name) !== value) element.setAttribute(name, value);
  }
}

function senderSays(bundle) {
  const form = { patch: 'as a patch', upload: 'over HTTP' }[bundle.form];
  const how = form ? `, ${form}` : '';
  if (bundle.state === 'cut') return `cut off${how}: ${bundle.why ?? 'lost'}`;
  if (bundle.state === 'arriving') return `sending${how}`;
  return `all here after ${timeOf(bundle.in_s)}${how}`;
}

function phoneSays(phone, settled) {
  const parts = [];
  const isKept = !isLive(phone);
  const after = (s) => (s === null ? '' : ` after ${seconds(s)}`);
  const why = phone.why ? `: ${phone.why}` : '';
  parts.push({
    waiting: 'waits for it',
    getting: 'is getting it',
    sent: `sent${after(phone.last_out_s)}, no answer${settled ? '' : ' yet'}`,
    acknowledged: `acknowledged${after(phone.answered_s)}`,
    failed: `failed${after(phone.answered_s)}`,
    cut: `cut off${why}`,
    left: `left${why}`,
    superseded: 'gets a newer one instead',
  }[phone.state] ?? phone.state);
  if (isKept) parts.push('from the cache');
  if (FORMS[phone.form]) parts.push(FORMS[phone.form] + (phone.form === 'patch' && phone.bytes ? ` of ${bytes(phone.bytes)}` : ''));
  return parts.join(', ');
}

function createRow(bundle) {
  const row = make('details', {},
    make('summary', {},
      make('span', { class: 'mark', 'aria-hidden': 'true' }),
      make('time', { datetime: new Date(bundle.began_ms).toISOString() }, clock(bundle.began_ms, true)),
      make('span', { class: 'result' }), make('span', { class: 'size' }), make('span', { class: 'took' })),
    make('ul', { class: 'times' }));
  return row;
}

function updateRow(row, bundle) {
  const [summary, times] = row.children;
  const [mark, , result, size, took] = summary.children;
  const [tone, symbol, text] = resultOf(bundle);
  row.dataset.tone = tone;
  setText(mark, symbol);
  setText(size, bytes(bundle.bytes));
  setText(took, timeOf(bundle.acknowledged_s));
  setText(result, text);
  showTimes(times, bundle);
}

/** "14 s ago"; the clocks of two machines may differ. */
function ago(ms) {
  return ms < 1000 ? 'just now' : `${duration(ms / 1000)} ago`;
}
