// Which sessions are listed, and in which order. Pure.
//
// The order is made when the operator asks for one, and holds until he does again: rows whose figures
// change don't swap, sessions that begin come last, and one that has ended keeps its row for a while.

import { phoneName, ROLE_NAMES, roleOf, systemOf } from './client_words.js';
import { capital, counted } from './format.js';

export const LINGER_MS = 10_000;

/** The columns by which rows are sorted. Each begins with what is looked for first. */
export const SORTS = {
  since: { label: 'Connected', value: ({ since_ms: ms, age_s: age }) => ms ?? -age },
  session: { label: 'Session', value: ({ session }) => session },
  who: { label: 'Who', isFalling: true, value: (row) => rolesOf(row).length },
  idle: { label: 'Idle', value: ({ idle_s: s }) => s },
  reload: { label: 'Last reload', isFalling: true, value: ({ reload_s: s }) => s },
  in: { label: 'In', isFalling: true, value: ({ bytes_in: n }) => n },
  out: { label: 'Out', isFalling: true, value: ({ bytes_out: n }) => n },
  trouble: { label: 'Trouble', isFalling: true, value: troubleOf, isNoColumn: true },
};

export const FILTERS = {
  all: { label: 'all', matches: () => true },
  trouble: { label: 'with trouble', matches: (row) => troubleOf(row) > 0 },
  failed: { label: 'failed to reload', matches: ({ failed }) => failed > 0 },
  slow: { label: 'slow or behind', matches: (row) => row.slow || isBehind(row) },
  no_phone: { label: 'without a phone', matches: (row) => !rolesOf(row).includes('mobile') },
  no_cli: { label: 'without a CLI', matches: (row) => !rolesOf(row).some((role) => role === 'cli' || role === 'upload') },
};

/** Tells a session from any other, and from a later one of the same id. */
export const keyOf = ({ session, since_ms: ms }) => (ms === undefined ? session : `${session} ${ms}`);

export const rolesOf = ({ roles, clients }) => roles ?? (clients ?? []).map(({ role }) => role);

export const isBehind = ({ clients }) => (clients ?? []).some(({ behind }) => behind);

/** How much is wrong with a session; 0 for nothing. */
export function troubleOf(row) {
  return (row.failed > 0 ? 4 : 0) + (row.slow ? 2 : 0) + (row.several_clis || isBehind(row) ? 1 : 0);
}

/** "CLI · 2 phones", of a list of roles. */
export function who(roles) {
  return ROLE_NAMES
    .map((role) => [roles.filter((one) => one === role).length, roleOf(role)])
    .filter(([n]) => n > 0)
    .map(([n, name]) => (n === 1 ? name : counted(n, name)))
    .join(' · ');
}

/** The devices of a session, as people know them: "Pixel 8 (Android)". */
export function devicesOf({ devices, clients }) {
  const all = devices ?? (clients ?? []).filter(({ role }) => role === 'mobile');
  return all.map((device) => {
    const system = systemOf(device.platform);
    return phoneName(device) + (system ? ` (${system})` : '');
  });
}

/** Whether what is looked for is in a row: its hash, or anything that it shows of its clients. */
export function matchesText(row, text) {
  const sought = text.trim().toLowerCase();
  if (!sought) return true;
  if (/^[0-9a-f]{9,64}$/.test(sought)) return sought.startsWith(row.session);
  return row.session.startsWith(sought) || wordsOf(row).some((word) => word?.toLowerCase().includes(sought));
}

function wordsOf(row) {
  const clients = (row.clients ?? []).flatMap(({ role, address, agent, name, deviceId, through }) => [
    capital(roleOf(role)), address, agent, name, deviceId, through,
  ]);
  return [...clients, ...devicesOf(row), ...(row.devices ?? []).map(({ deviceId }) => deviceId), who(rolesOf(row))];
}

/** The sessions that are listed. */
export class SessionRows {
  constructor() {
    this.known = new Map(); // by key: {key, row, goneMs}
    this.order = [];
    this.sort = { by: 'since', isFalling: false };
  }

  /**
   * Take an answer of the relay.
   *
   * @param rows every session that is listed, and those that were asked for beside them
   * @param nowMs when it came
   * @param isHeld `(key, ms)`: whether the row is to stay though its session has been gone for so long
   */
  take(rows, nowMs, isHeld) {
    const here = new Set();
    for (const row of rows) {
      const key = keyOf(row);
      here.add(key);
      if (!this.known.has(key)) this.order.push(key);
      this.known.set(key, { key, row, goneMs: null });
    }
    for (const one of this.known.values()) {
      if (!here.has(one.key)) one.goneMs ??= nowMs;
      const lingersMs = one.goneMs === null ? 0 : nowMs - one.goneMs;
      if (lingersMs >= LINGER_MS && !isHeld(one.key, lingersMs)) this.known.delete(one.key);
    }
    this.order = this.order.filter((key) => this.known.has(key));
  }

  sortBy(by, isFalling = Boolean(SORTS[by].isFalling)) {
    this.sort = { by, isFalling };
    this.order = this.#sorted();
  }

  /** Whether the rows stand as they would if they were sorted now. */
  get isSorted() {
    const sorted = this.#sorted();
    return this.order.every((key, i) => key === sorted[i]);
  }

  /** The rows that a filter leaves, in their order. */
  shown(matches) {
    return this.order.map((key) => this.known.get(key)).filter((one) => matches(one.row));
  }

  #sorted() {
    const { by, isFalling } = this.sort;
    const { value } = SORTS[by];
    return [...this.known.values()]
      .sort((a, b) => compare(value(a.row), value(b.row), isFalling) || compare(a.key, b.key, false))
      .map(({ key }) => key);
  }
}

/** What is not known comes last, whichever way. */
function compare(a, b, isFalling) {
  const isKnown = [a, b].map((value) => value !== null && value !== undefined && !Number.isNaN(value));
  if (!isKnown[0] || !isKnown[1]) return isKnown[1] - isKnown[0];
  const order = a < b ? -1 : a > b ? 1 : 0;
  return isFalling ? -order : order;
}
