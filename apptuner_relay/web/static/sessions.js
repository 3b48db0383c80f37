// The sessions that are connected now: fetched, found, filtered, sorted, and opened.

import { $, make, setRows, setText } from './dom.js';
import { count, counted, duration, joined, seconds, traffic } from './format.js';
import { createClose, updateClose } from './session_close.js';
import { identityOf, isSought, meaningOf, NOTHING, saidOf } from './session_finder.js';
import { createOpened, updateOpened } from './session_opened.js';
import { devicesOf, FILTERS, isBehind, keyOf, rolesOf, SessionRows, SORTS, who } from './session_rows.js';

const LISTED = 100;
const MORE = 100;
const MOST = 300; // the relay has other things to do
const EVERY_MS = 4_000;
const WHILE_OPENED_MS = 1_900; // with each status
const POINTED_MS = 60_000;
const TYPING_MS = 200;
const SEVERAL_CLIS = 'Several CLIs of one project are connected, and each sends its bundles to the phones.';
const COLUMNS = Object.keys(SORTS).filter((by) => !SORTS[by].isNoColumn);
const ORDER = ['session', 'who', 'since', 'idle', 'reload', 'in', 'out'];

export class Sessions {
  constructor() {
    this.rows = new SessionRows();
    this.opened = new Set(); // keys
    this.meaning = NOTHING;
    this.most = LISTED;
    this.connected = null;
    this.askedMs = 0;
    this.nowMs = 0;
    this.#tools();
  }

  /** A status has come: fetch the list, but not too often. */
  update({ sessions, now_ms: nowMs }) {
    const isOther = sessions !== this.connected;
    this.connected = sessions;
    this.nowMs = nowMs;
    this.refresh(isOther);
  }

  /** Look for a text, and show what is found. */
  find(text) {
    $('find').value = text;
    $('show').value = 'all';
    this.#sought(text, 0);
    $('session-list').scrollIntoView({ block: 'start' });
    $('find').focus({ preventScroll: true });
  }

  async refresh(isForced = false) {
    const pause = this.opened.size ? WHILE_OPENED_MS : EVERY_MS;
    if (this.isAsking) {
      this.isAskedAgain ||= isForced;
      return;
    }
    if (!isForced && Date.now() - this.askedMs < pause) return;
    this.isAsking = true;
    try {
      // Bundles are most of what there is to a session: only opened rows ask for them.
      const listed = await fetchRows(`most=${this.most}&bundles=0`);
      const rows = new Map(listed.map((row) => [keyOf(row), row]));
      for (const row of listed) row.isBrief = !row.bundles;
      for (const row of await this.#beside(listed)) rows.set(keyOf(row), row);
      this.listed = listed.length;
      this.rows.take([...rows.values()], this.nowMs, (key, goneMs) => this.#isHeld(key, goneMs));
      this.#show();
    } catch {
      // The connection is lost: the line to the relay says so.
    } finally {
      this.isAsking = false;
      this.askedMs = Date.now();
    }
    if (this.isAskedAgain) {
      this.isAskedAgain = false;
      this.refresh(true);
    }
  }

  /** The sessions whose rows are opened; and those that are looked for, where not all are listed. */
  async #beside(listed) {
    const here = new Set(listed.map(({ session }) => session));
    const opened = [...this.opened].map((key) => this.rows.known.get(key)?.row.session).filter(Boolean);
    const sought = listed.length < this.most ? [] : this.meaning.asked.filter((hash) => !here.has(hash.slice(0, 8)));
    const asked = [...new Set([...opened, ...sought])];
    const answers = await Promise.all(asked.map((hash) => fetchRows(`session=${hash}`)));
    return answers.flat().filter(({ session }) => asked.some((hash) => hash.startsWith(session)));
  }

  /** Rows that stay where they are: opened ones, and for a minute all of them while somebody points at them. */
  #isHeld(key, goneMs) {
    return this.opened.has(key) || (goneMs < POINTED_MS && $('session-rows').matches(':hover'));
  }

  #tools() {
    const option = ([value, { label }]) => make('option', { value }, label);
    $('show').replaceChildren(...Object.entries(FILTERS).map(option));
    $('sort').replaceChildren(...Object.entries(SORTS).map(option));
    $('sort').value = this.rows.sort.by;
    $('session-head').replaceChildren(...ORDER.map((by) => this.#head(by)));
    $('show').addEventListener('change', () => this.#show());
    $('sort').addEventListener('change', () => this.#sortBy($('sort').value));
    $('sort-again').addEventListener('click', () => this.#sortBy(this.rows.sort.by, this.rows.sort.isFalling));
    $('find').addEventListener('input', () => this.#sought($('find').value, TYPING_MS));
    $('more').addEventListener('click', () => { this.most += MORE; this.refresh(true); });
    $('session-rows').addEventListener('click', (event) => this.#clicked(event));
  }

  #head(by) {
    const button = make('button', { type: 'button', class: 'sorts' }, SORTS[by].label);
    button.addEventListener('click', () => {
      const { sort } = this.rows;
      this.#sortBy(by, sort.by === by ? !sort.isFalling : undefined);
    });
    return make('th', { scope: 'col', 'data-by': by }, button);
  }

  #sortBy(by, isFalling) {
    this.rows.sortBy(by, isFalling);
    $('sort').value = by;
    this.#show();
  }

  #sought(text, pauseMs) {
    clearTimeout(this.typing);
    this.typing = setTimeout(async () => {
      const meaning = await meaningOf(text);
      if ($('find').value !== text) return;
      this.meaning = meaning;
      this.#show();
      if (meaning.asked.length) this.refresh(true);
    }, pauseMs);
  }

  /** A row is opened by its button, or by a click anywhere on it that marks no text. */
  #clicked(event) {
    const row = event.target.closest('tr.session');
    const isElsewhere = event.target.closest('button, a') && !event.target.closest('.opens');
    if (!row || isElsewhere || String(getSelection())) return;
    const { key } = row.dataset;
    const isOpened = !this.opened.delete(key);
    if (isOpened) this.opened.add(key);
    this.#show();
    this.refresh(isOpened);
  }

  #show() {
    const filter = FILTERS[$('show').value] ?? FILTERS.all;
    const found = this.rows.shown((row) => isSought(this.meaning, row));
    const shown = found.filter(({ row }) => filter.matches(row));
    const items = shown.flatMap((one) => (this.opened.has(one.key)
      ? [{ key: one.key, one }, { key: `${one.key} opened`, one, isOpened: true }] : [{ key: one.key, one }]));
    $('session-table').hidden = !items.length;
    setRows($('session-rows'), items, ({ key }) => key, (item) => this.#create(item), (tr, item) => this.#update(tr, item));
    this.#around(found, shown);
  }

  /** What stands around the rows. */
  #around(found, shown) {
    const { known, sort, order } = this.rows;
    const said = saidOf(this.meaning, found);
    const link = said.id ? make('a', { href: `s#${said.id}` }, 'Open its own page') : '';
    if ($('found').dataset.said !== said.text) $('found').replaceChildren(said.text, link && ' ', link);
    $('found').dataset.said = said.text;
    $('no-sessions').hidden = shown.length > 0 || Boolean(said.text);
    setText($('no-sessions'), known.size ? `No session ${FILTERS[$('show').value].label}.`
      : 'Nobody is connected. A session is here as soon as its CLI or a phone is.');
    setText($('sessions-listed'), shown.length < known.size ? `${count(shown.length)} of ${count(known.size)}` : '');
    for (const th of $('session-head').children) {
      const isSorted = th.dataset.by === sort.by;
      th.setAttribute('aria-sort', isSorted ? (sort.isFalling ? 'descending' : 'ascending') : 'none');
    }
    $('sort-again').hidden = order.length < 2 || this.rows.isSorted;
    const more = this.listed < this.most ? 0 : this.connected - this.listed;
    $('more-sessions').hidden = more <= 0;
    $('more').hidden = this.most >= MOST;
    setText($('more-note'), more > 0
      ? `and ${count(more)} more. Listed are those with slow clients or several CLIs, then those that were sent most. Find the others by id or hash.` : '');
  }

  #create({ one, isOpened }) {
    if (isOpened) {
      const { session } = one.row;
      const close = createClose(session, (text, isFailure) => this.#said(text, isFailure));
      return createOpened(COLUMNS.length, close);
    }
    const tag = (text, more) => make('span', { class: 'tag', hidden: '', ...more }, text);
    const opens = make('button', { type: 'button', class: 'opens' }, one.row.session);
    return make('tr', { class: 'session' },
      make('th', { scope: 'row' }, opens),
      make('td', { class: 'who' }, make('span'), tag('', { 'data-bad': '' }), tag('slow'), tag('behind'), tag('several CLIs', { title: SEVERAL_CLIS }), tag('ended', { 'data-over': '' }), make('small')),
      ...ORDER.slice(2).map((by) => make('td', { 'data-label': SORTS[by].label }, make('span'))));
  }

  #update(tr, { one, isOpened }) {
    const { row, goneMs, key } = one;
    const identity = identityOf(this.meaning, row);
    if (isOpened) {
      updateOpened(tr, one, identity?.id, this.nowMs);
      updateClose(tr.querySelector('.closing'), one, identity?.hash);
      return;
    }
    const [name, cell, ...cells] = tr.cells;
    name.firstChild.setAttribute('aria-expanded', String(this.opened.has(key)));
    tr.classList.toggle('is-open', this.opened.has(key));
    tr.classList.toggle('gone', goneMs !== null);
    const [roles, failed, slow, behind, severalClis, ended, devices] = cell.children;
    setText(roles, who(rolesOf(row)) || 'nobody');
    failed.hidden = !row.failed;
    setText(failed, row.failed ? `▲ ${counted(row.failed, 'failure')}` : '');
    slow.hidden = !row.slow;
    behind.hidden = row.slow || !isBehind(row);
    severalClis.hidden = !row.several_clis;
    ended.hidden = goneMs === null;
    // Where not all are listed, one that is missing may be there all the same; opened ones are asked for.
    setText(ended, this.listed < this.most || this.opened.has(key) ? 'ended' : 'no longer listed');
    setText(devices, devicesOf(row).join(', '));
    const ageS = row.since_ms === undefined ? row.age_s : (this.nowMs - row.since_ms) / 1000;
    [
      duration(goneMs === null ? ageS : row.age_s), duration(row.idle_s), joined(seconds(row.reload_s)),
      joined(traffic(row.bytes_in)), joined(traffic(row.bytes_out)),
    ].forEach((text, i) => setText(cells[i].firstChild, text));
  }

  #said(text, isFailure) {
    $('said').toggleAttribute('data-failed', isFailure);
    setText($('said'), text);
    this.refresh(true);
  }
}

async function fetchRows(query) {
  const answer = await fetch(`api/sessions?${query}`, { cache: 'no-store' });
  if (!answer.ok) throw new Error(`the relay answered with ${answer.status}`);
  return (await answer.json()).sessions;
}
