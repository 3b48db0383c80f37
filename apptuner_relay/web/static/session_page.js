// The page of one session. Its id is behind the #: no request has it, so no log does.

import { $, make, setRows, setText } from './dom.js';
import { clock, counted, duration } from './format.js';
import { showQr } from './qr_dialog.js';
import { showReloads } from './reload_chart.js';
import { answerOf, nobodyThere } from './session_answer.js';
import { showBundles } from './session_bundles.js';
import { showClients } from './session_clients.js';
import { follow, SessionLine } from './session_line.js';
import { sha256Hex } from './sha256.js';

const ID = /^[A-Za-z0-9_-]{1,64}$/;
const UNLIKELY = /[a-z01IO]/; // not among the characters of which the CLI makes its ids
const MARKS = { done: '✓', now: '…', missing: '!', failed: '✕', later: '' };
const SPOKEN = { done: 'done', now: 'under way', missing: 'missing', failed: 'failed', later: 'later' };
const SYMBOLS = { ok: '✓', bad: '✕', doubt: '?', waiting: '…' };
const TOLD_AFTER_MS = 4_000; // one lost answer is no news

let id = '';
let line = null;
let following = null;
let shownMs = 0;
let lostTimer = 0;
let last = null;

addEventListener('hashchange', begin);
addEventListener('resize', () => { if (last) showReloads(last.bundles); });
$('ask-id').addEventListener('submit', (event) => {
  event.preventDefault();
  const typed = $('id').value.trim();
  if (ID.test(typed)) location.hash = typed;
});
$('id').addEventListener('input', () => setText($('id-note'), noteOf($('id').value.trim())));
$('ask-secret').addEventListener('submit', (event) => {
  event.preventDefault();
  connect($('secret').value.trim());
});
$('again').addEventListener('click', sendAgain);
$('show-qr').addEventListener('click', () => showQr(line, id));
$('forget').addEventListener('click', () => {
  sessionStorage.removeItem(storageKey());
  connect('');
});
$('skip').addEventListener('click', (event) => {
  // The fragment is the session's id, and stays that.
  event.preventDefault();
  $('main').focus();
});
begin();

/** The fragment says which session it is. */
async function begin() {
  following?.stop();
  id = fragment();
  setText($('said'), '');
  last = null;
  if (!ID.test(id)) {
    setText($('title'), 'Session');
    for (const name of ['label', 'node', 'since']) setText($(name), '');
    setText($('id-note'), id ? `“${id.slice(0, 80)}” is no session id.` : '');
    view('id');
    $('id').focus();
    return;
  }
  setText($('title'), `Session ${id}`);
  const asked = id;
  const hash = await sha256Hex(id);
  if (asked !== id) return;
  setText($('label'), `${hash.slice(0, 8)} in logs`);
  line = new SessionLine(hash, null);
  connect(sessionStorage.getItem(storageKey()) ?? '');
}

function fragment() {
  const text = location.hash.slice(1);
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function connect(secret) {
  following?.stop();
  line = new SessionLine(line.hash, secret);
  following = follow(line, take);
}

const storageKey = () => `apptuner-secret-${line.hash}`;

/** Take an answer of the relay. Returns whether to go on asking. */
function take(answer) {
  const { status, body } = answer;
  if (status === 200 || status === 404) {
    keepSecret();
    found();
    show(status === 200 ? body : null);
    return true;
  }
  if ((status === 401 || status === 403) && body.claimed) {
    found();
    askForSecret(status === 403 ? 'That is not the secret of this session.' : '');
    return false;
  }
  if (status === 400 || status === 403) {
    if (line.secret) askForSecret(body.error);
    else lost(body.error, 0);
    return false;
  }
  const again = answer.waitMs ? ` Again in ${duration(answer.waitMs / 1000)}.` : ' Trying again…';
  lost(status === 0 ? 'Connection lost.' : body.error.replace(/\.?$/, '.'), status === 0 ? TOLD_AFTER_MS : 0, again);
  return true;
}

function keepSecret() {
  if (line.secret) sessionStorage.setItem(storageKey(), line.secret);
}

function askForSecret(wrong) {
  sessionStorage.removeItem(storageKey());
  setText($('secret-wrong'), wrong);
  $('secret').toggleAttribute('aria-invalid', Boolean(wrong));
  view('secret');
  $('secret').select();
  $('secret').focus();
}

function view(name) {
  document.body.dataset.view = name;
  for (const part of document.querySelectorAll('[data-of]')) part.hidden = part.dataset.of !== name;
}

function lost(why, afterMs, again = '') {
  clearTimeout(lostTimer);
  lostTimer = setTimeout(() => {
    document.body.dataset.link = 'lost';
    $('lost').hidden = false;
    const since = shownMs ? ` What you see is from ${clock(shownMs, true)}.` : '';
    setText($('lost'), `${why}${since}${again}`);
  }, document.body.dataset.link === 'lost' ? 0 : afterMs);
}

function found() {
  clearTimeout(lostTimer);
  document.body.dataset.link = 'live';
  $('lost').hidden = true;
}

/** Show a state; null is for a session that nobody is in. */
function show(state) {
  last = state;
  shownMs = Date.now();
  if (document.body.dataset.view !== 'session') view('session');
  const answer = state ? answerOf(state) : nobodyThere();
  showAnswer(answer);
  setText($('node'), state ? `on ${state.node}` : '');
  setText($('since'), state?.since_ms ? `since ${clock(state.since_ms)}` : '');
  setText($('updated'), `Updated ${clock(shownMs, true)}.`);
  setText($('seen-by'), state?.claimed
    ? 'Whoever knows this session’s id and its secret can see this page.'
    : 'Whoever knows this session’s id can see this page.');
  $('forget').hidden = !line.secret;
  $('again').disabled = !state?.kept;
  $('again').title = state?.kept ? 'Sends the last bundle to every phone again' : 'No bundle is cached';
  showBundles(state?.bundles ?? [], state?.now_ms ?? 0, answer.code);
  showClients(state?.clients ?? [], state?.now_ms ?? 0);
  showReloads(state?.bundles ?? []);
  document.title = `${SYMBOLS[answer.tone]} Session ${line.hash.slice(0, 8)} · AppTuner Relay`;
}

function showAnswer({ tone, headline, detail, code, steps }) {
  $('answer').dataset.tone = tone;
  setText($('headline'), headline);
  const text = $('detail');
  if (text.dataset.shown !== `${detail}\n${code}`) {
    text.dataset.shown = `${detail}\n${code}`;
    text.replaceChildren(detail, ...(code ? [make('code', { class: 'error' }, code)] : []));
  }
  setRows($('steps'), steps, ({ title }) => title,
    ({ title }) => make('li', {}, make('span', { class: 'mark', 'aria-hidden': 'true' }),
      make('b', {}, title), make('span', { class: 'unseen' }), make('small')),
    (row, step) => {
      const [mark, , spoken, hint] = row.children;
      row.dataset.state = step.state;
      setText(mark, MARKS[step.state]);
      setText(spoken, `: ${SPOKEN[step.state]}. `);
      setText(hint, step.hint);
    });
}

async function sendAgain() {
  $('again').disabled = true;
  const { status, body } = await line.ask('replay', 'POST');
  const hasFailed = status !== 200 || !body.phones;
  $('said').toggleAttribute('data-failed', hasFailed);
  if (status !== 200) setText($('said'), `It was not sent again: ${body.error}`);
  else setText($('said'), body.phones ? `Sent again to ${counted(body.phones, 'phone')} at ${clock(Date.now(), true)}.` : 'No phone is here to send it to.');
  $('again').disabled = false;
  following.now();
}

/** What is unusual in an id that somebody types. */
function noteOf(typed) {
  const found = UNLIKELY.exec(typed);
  if (!found) return '';
  return `The CLI’s ids have capital letters and digits, but no I, O, 0 or 1: is “${found[0]}” right?`;
}
