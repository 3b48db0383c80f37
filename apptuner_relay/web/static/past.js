// The section "History": the range that is chosen, its charts, its warnings, and the same as a table.

import { bandsOf } from './bands.js';
import { Charts } from './charts.js';
import { $, make, setRows, setText } from './dom.js';
import { capital, moment } from './format.js';
import { historyOf, RANGES, tableOf } from './history.js';
import { span } from './needs.js';

const REMEMBERED = 'apptuner-relay-range';
const MARKS = { notice: '●', warning: '▲' };
const MOST_BANDS = 6;

export class Past {
  constructor() {
    this.charts = new Charts($('charts'), $('charts-said'));
    this.name = remembered();
    this.buttons = RANGES.map((range) => {
      const button = make('button', { type: 'button', 'aria-label': capital(range.title) }, range.label);
      button.addEventListener('click', () => this.#choose(range.name));
      return button;
    });
    $('ranges').replaceChildren(...this.buttons);
    // What is folded isn't kept up to date.
    $('as-table').addEventListener('toggle', () => this.#tabulate());
    // On paper nothing can be unfolded.
    let isFolded = false;
    addEventListener('beforeprint', () => {
      isFolded = !$('as-table').open;
      $('as-table').open = true;
      this.#tabulate();
    });
    addEventListener('afterprint', () => { if (isFolded) $('as-table').open = false; });
  }

  update(status) {
    this.status = status;
    const history = historyOf(status, this.name);
    this.history = history;
    const { range } = history;
    RANGES.forEach(({ name }, i) => this.buttons[i].setAttribute('aria-pressed', String(name === range.name)));
    setText($('history-note'), note(history, status));
    this.charts.update(history, status);
    this.#bands();
    setText($('table-title'), range.isBars ? 'The days as a table' : 'As a table');
    this.#tabulate();
  }

  #choose(name) {
    this.name = name;
    try {
      localStorage.setItem(REMEMBERED, name);
    } catch {
      // A browser that keeps nothing: the choice lasts as long as the page.
    }
    if (this.status) this.update(this.status);
  }

  #bands() {
    const { startMs, endMs } = this.history;
    const bands = bandsOf(this.status, startMs, endMs).reverse();
    const rest = bands.length - MOST_BANDS;
    const items = bands.slice(0, MOST_BANDS).map((band) => ({
      key: `${band.name} ${band.sinceMs}`, level: band.level, text: band.text,
      time: this.history.range.isBars ? moment(band.sinceMs, this.status.now_ms) : span(band),
    }));
    if (rest > 0) items.push({ key: 'rest', level: '', text: `and ${rest} more`, time: '' });
    $('bands').hidden = !items.length;
    setRows($('bands'), items, ({ key }) => key, () => make('li', {}, make('b'), make('span')), (row, item) => {
      row.dataset.level = item.level;
      setText(row.children[0], item.level && `${MARKS[item.level] ?? '▲'} ${item.time}`);
      setText(row.children[1], item.text);
    });
  }

  #tabulate() {
    if (!$('as-table').open || !this.history) return;
    const { head, rows } = tableOf(this.history);
    const { range } = this.history;
    setText($('history-caption'), capital(range.title));
    if ($('history-head').dataset.range !== range.name) {
      $('history-head').dataset.range = range.name;
      $('history-head').replaceChildren(make('tr', {}, ...head.map((text) => make('th', { scope: 'col' }, text))));
      $('history-rows').replaceChildren();
    }
    setRows($('history-rows'), rows, ([first]) => first,
      (row) => make('tr', {}, ...row.map((_, i) => make(i ? 'td' : 'th', i ? { 'data-label': head[i] } : { scope: 'row' }, make('span')))),
      (tr, row) => row.forEach((text, i) => setText(tr.cells[i].firstChild, text)));
  }
}

function note({ range, points, isKnown, isWhole, startMs }, { now_ms: nowMs }) {
  if (!isKnown) return 'this relay keeps no such history';
  if (range.isBars) return points.length > 1 ? 'days of UTC' : 'days of UTC; this is the first that is recorded';
  return isWhole || !points.length ? '' : `since the relay started, ${moment(startMs, nowMs)}`;
}

function remembered() {
  try {
    return localStorage.getItem(REMEMBERED) ?? 'hour';
  } catch {
    return 'hour';
  }
}
