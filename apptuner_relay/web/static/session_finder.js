// Finding a session by what is typed: its id, which is hashed here and never sent, its hash, or
// anything that its row shows.

import { matchesText } from './session_rows.js';
import { sha256Hex } from './sha256.js';

const AN_ID = /^[A-Za-z0-9_-]{1,64}$/;
const A_HASH = /^[0-9a-f]{8,64}$/;
const SENT = 16; // hex digits of a hash that the relay is asked for: enough for one session

/** What is looked for: `{text, ids, asked}`. */
export const NOTHING = { text: '', ids: new Map(), asked: [] };

/**
 * What a text may mean. `ids` are the ids that it may be, by the hash; ids are mostly upper case, and
 * often typed otherwise. `asked` are the hashes for which the relay is to be asked.
 */
export async function meaningOf(typed) {
  const text = typed.trim();
  const ids = new Map();
  if (AN_ID.test(text)) {
    for (const id of new Set([text, text.toUpperCase()])) ids.set(await sha256Hex(id), id);
  }
  const asked = text.length >= 4 ? [...ids.keys()].map((hash) => hash.slice(0, SENT)) : [];
  if (A_HASH.test(text.toLowerCase())) asked.push(text.toLowerCase().slice(0, SENT));
  return { text, ids, asked };
}

/** The full hash and the id of a row that was found by its id; null for another one. */
export function identityOf({ ids }, { session }) {
  for (const [hash, id] of ids) if (hash.startsWith(session)) return { hash, id };
  return null;
}

/** Whether a row is what is looked for. */
export const isSought = (meaning, row) => matchesText(row, meaning.text) || identityOf(meaning, row) !== null;

/** What to say of what was found: `{text, id}`, with the id where that is what was typed. */
export function saidOf(meaning, rows) {
  const { text, ids } = meaning;
  if (!text) return { text: '', id: null };
  const found = rows.map(({ row }) => ({ row, identity: identityOf(meaning, row) })).find(({ identity }) => identity);
  if (found) return { text: `${found.identity.id} is the session ${found.row.session}.`, id: found.identity.id };
  if (rows.length) return { text: '', id: null };
  if (!ids.size) return { text: `Nothing that is listed has “${text}”.`, id: null };
  const [[hash, id]] = [...ids].reverse();
  return {
    text: `Nothing has “${text}”. If that is a session's id: nobody is connected to ${id} at this relay. The log calls it ${hash.slice(0, 8)}.`,
    id,
  };
}
