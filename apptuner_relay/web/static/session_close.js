// Closing a session: the button in its opened row, the question beside it, and what came of it. It
// acts on the session that the row was opened for, whatever is listed by then.

import { make, setText } from './dom.js';
import { counted, listed } from './format.js';
import { devicesOf, rolesOf, who } from './session_rows.js';

/** "CLI · 2 phones: Pixel 9 and iPhone 15". */
export function clientsOf(row) {
  const devices = devicesOf(row);
  return `${who(rolesOf(row)) || 'nobody'}${devices.length ? `: ${listed(devices)}` : ''}`;
}

/** @param onClosed called with what came of it, `(text, isFailure)` */
export function createClose(session, onClosed) {
  const close = make('button', { type: 'button', class: 'quiet', 'aria-label': `Close session ${session}…` }, 'Close session…');
  const text = make('p', { id: `close-${session}` });
  const cancel = make('button', { type: 'button', class: 'quiet' }, 'Cancel');
  const confirm = make('button', { type: 'button', class: 'danger', 'aria-describedby': text.id }, `Close ${session}`);
  const question = make('div', { class: 'question', role: 'group', 'aria-label': `Close session ${session}?`, hidden: '' },
    text, make('div', { class: 'buttons' }, cancel, confirm));
  const root = make('div', { class: 'closing' }, close, question);

  function ask(isAsking) {
    question.hidden = !isAsking;
    close.hidden = isAsking;
    (isAsking ? cancel : close).focus();
  }
  close.addEventListener('click', () => ask(true));
  cancel.addEventListener('click', () => ask(false));
  question.addEventListener('keydown', (event) => { if (event.key === 'Escape') ask(false); });
  confirm.addEventListener('click', async () => {
    root.dataset.busy = '';
    confirm.disabled = true;
    const [said, isFailure] = await closeSession(session, root.dataset.hash || session);
    delete root.dataset.busy;
    confirm.disabled = false;
    if (isFailure) ask(false);
    onClosed(said, isFailure);
  });
  return root;
}

/** @param hash all of the session's hash, where it is known: no other session begins with that */
export function updateClose(root, { row, goneMs }, hash) {
  const [close, question] = root.children;
  root.dataset.hash = hash ?? '';
  const isOver = goneMs !== null;
  close.disabled = isOver;
  question.lastChild.lastChild.disabled = isOver || 'busy' in root.dataset;
  setText(question.firstChild, isOver
    ? `Session ${row.session} has ended.`
    : `Close session ${row.session}? This disconnects ${clientsOf(row)}. They may connect again.`);
}

async function closeSession(session, hash) {
  try {
    const answer = await fetch(`api/sessions/${hash}/close`, { method: 'POST' });
    const body = await answer.json();
    if (answer.ok) return [`Session ${session} is closed: ${counted(body.closed, 'client')} disconnected.`, false];
    return [`Session ${session} was not closed: ${body.error}.`, true];
  } catch {
    return [`Session ${session} was not closed: there is no connection to the relay.`, true];
  }
}
