// "Needs attention": the warnings that are active, each with a link to what to do.

import { $, make, setRows, setText } from './dom.js';
import { capital, clock, counted, duration, moment } from './format.js';

/** Warnings that say less than another one does. A `…_notice` says less than its `…_warning`. */
const LESS = { descriptors: 'descriptors_used_up' };
/** Where on this page a warning's figure is; for a relay that gives no advice. */
const PLACES = [
  [/^(sessions|capacity)/, '#session-list'],
  [/^(loop_lag|memory|descriptors|spool|cpu)/, '#health'],
  [/^(redis|claims(?!_file))/, '#cluster'],
  [/^managed/, '#managed'],
];
const MARKS = { notice: '●', warning: '▲', degraded: '■', draining: '▼' };

/** The warnings without those of which a higher one is there as well. */
export function higher(worries) {
  const names = new Set(worries.map(({ name }) => name));
  return worries.filter(({ name }) => !names.has(LESS[name])
    && !(name.endsWith('_notice') && names.has(name.replace(/_notice$/, '_warning'))));
}

/**
 * What needs attention, the most serious first: the reasons for which the relay is not "ok", and
 * the warnings.
 */
export function needsOf({ state, reasons = [], worries = [], now_ms: nowMs }) {
  const shown = higher(worries);
  const texts = new Set(shown.map(({ text }) => text));
  const items = reasons.filter((text) => !worries.some((one) => one.text === text))
    .map((text) => ({ key: text, level: state, text, since: '', url: null }));
  // A reason whose warning is shown is that warning; where only the lower one was, it is not lost.
  const degrading = new Set(reasons.filter((text) => texts.has(text)));
  const rank = ({ text, level }) => (degrading.has(text) ? 0 : level === 'warning' ? 1 : 2);
  const ranked = shown.map((one, i) => ({ one, i })).sort((a, b) => rank(a.one) - rank(b.one) || a.i - b.i);
  for (const { one } of ranked) {
    items.push({
      key: one.name, level: one.level, text: one.text, url: advice(one),
      since: `since ${moment(one.since_ms, nowMs)} (${duration((nowMs - one.since_ms) / 1000)})`,
    });
  }
  return items;
}

/** The link of a warning; null where there is none. The relay's own word is taken for no script. */
export function advice({ name, advice_url: url }) {
  // A path of the relay is one below the page: a proxy may have both elsewhere than at its root.
  if (typeof url === 'string' && /^\/(?!\/)/.test(url)) return `.${url}`;
  if (typeof url === 'string' && /^(https?:\/\/|#)/.test(url)) return url;
  return PLACES.find(([pattern]) => pattern.test(name))?.[1] ?? null;
}

/** [state, text] for the top of the page. */
export function verdict({ state, worries = [] }) {
  if (state === 'draining') return ['draining', 'Draining'];
  if (state === 'degraded') return ['degraded', 'Degraded'];
  const shown = higher(worries);
  const serious = shown.filter(({ level }) => level === 'warning').length;
  if (serious) return ['warning', counted(serious, 'warning')];
  if (shown.length) return ['notice', counted(shown.length, 'notice')];
  return ['ok', 'All well'];
}

export function showNeeds(status) {
  const items = needsOf(status);
  $('needs').hidden = !items.length;
  setRows($('needs-list'), items, (item) => `${item.level} ${item.key}`, create, update);
}

function create() {
  return make('li', {}, make('b'), make('span'), make('small'), make('a', { hidden: '' }, 'What to do'));
}

function update(row, item) {
  row.dataset.level = item.level;
  const [level, text, since, link] = row.children;
  setText(level, `${MARKS[item.level] ?? '●'} ${capital(item.level)}`);
  setText(text, item.text);
  setText(since, item.since);
  link.hidden = !item.url;
  if (!item.url || link.getAttribute('href') === item.url) return;
  link.setAttribute('href', item.url);
  const isElsewhere = !item.url.startsWith('#');
  link.setAttribute('aria-label', `What to do about ${item.key.replaceAll('_', ' ')}`);
  if (isElsewhere) {
    link.setAttribute('target', '_blank');
    link.setAttribute('rel', 'noopener noreferrer');
  }
}

/** "11:46–11:58", for a band. */
export const span = ({ sinceMs, toMs, isOver }) => (
  isOver ? `${clock(sinceMs)}–${clock(toMs)}` : `since ${clock(sinceMs)}`);
