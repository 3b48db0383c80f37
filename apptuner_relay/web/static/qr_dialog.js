// The dialog with the QR code by which phones join.

import { clock } from './format.js';
import { $, draw, setText } from './dom.js';

const NOTES = {
  asked: '',
  public: 'The address is the relay’s public URL, as localhost would be the phone itself.',
  lan: 'The address is this machine’s in its network, as localhost would be the phone itself. The phone has to be in the same network.',
  loopback: 'No phone can use this: localhost is the phone itself there. Open this page by an address that phones reach, or start the relay with --public-url.',
};

/** Show the QR code of the session with this id, asked for by `line`. */
export async function showQr(line, id) {
  const dialog = $('qr');
  for (const name of ['qr-url', 'qr-note', 'qr-expiry', 'qr-wrong']) setText($(name), '');
  $('qr-code').toggleAttribute('hidden', true);
  $('qr-copy').hidden = true;
  if (!dialog.open) dialog.showModal();
  // The page may be below a path of a proxy.
  const relay = new URL('.', location.href).href.replace(/\/$/, '');
  const { status, body } = await line.ask('qr', 'POST', { session: id, relay });
  if (status !== 200) {
    setText($('qr-wrong'), `There is no QR code: ${body.error}`);
    return;
  }
  const code = $('qr-code');
  code.setAttribute('viewBox', `0 0 ${body.modules} ${body.modules}`);
  code.replaceChildren(
    draw('rect', { class: 'light', width: body.modules, height: body.modules }),
    draw('path', { class: 'dark', d: body.path }),
  );
  code.toggleAttribute('hidden', false);
  code.classList.toggle('useless', body.reach === 'loopback');
  setText($('qr-url'), body.url);
  setText($('qr-note'), NOTES[body.reach] ?? '');
  setText($('qr-expiry'), expiry(body.expires_ms));
  // Browsers copy on https and localhost only.
  $('qr-copy').hidden = !navigator.clipboard;
  $('qr-copy').onclick = async () => {
    await navigator.clipboard.writeText(body.url);
    setText($('qr-expiry'), 'Copied.');
  };
}

function expiry(ms) {
  if (ms === null) return 'It has no join token, and so does not expire.';
  const day = new Date(ms).toDateString() === new Date().toDateString() ? '' : 'tomorrow ';
  return `Phones may join with it until ${day}${clock(ms)}. One that has joined stays.`;
}
