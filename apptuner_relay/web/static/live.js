// The line to the relay: server-sent events, opened anew when they stop, closed while nobody looks.

const SILENCE_MS = 8_000; // the relay says something every 2 s
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 10_000;
const TOLD_AFTER_MS = 1_500; // a proxy may end a stream that goes on at once

/**
 * @param onStatus called with each status
 * @param onLost called with a text when there is no connection
 * @param onRefused called when this browser is no longer let in
 */
export function follow({ onStatus, onLost, onRefused }) {
  let source = null;
  let silence = 0;
  let retry = 0;
  let waitMs = FIRST_RETRY_MS;
  let telling = 0;
  let text = '';

  function open() {
    close();
    source = new EventSource('api/events');
    source.addEventListener('status', (event) => {
      waitMs = FIRST_RETRY_MS;
      clearTimeout(telling);
      telling = 0;
      listen();
      onStatus(JSON.parse(event.data));
    });
    // The browser's own retries end at the first answer that is no 200, such as a proxy's.
    source.addEventListener('error', lost);
    listen();
  }

  function close() {
    source?.close();
    source = null;
    clearTimeout(silence);
    clearTimeout(retry);
  }

  function listen() {
    clearTimeout(silence);
    silence = setTimeout(lost, SILENCE_MS);
  }

  async function lost() {
    close();
    retry = setTimeout(open, waitMs);
    waitMs = Math.min(waitMs * 1.6, LAST_RETRY_MS);
    text = 'Connection lost.';
    if (!telling) telling = setTimeout(() => onLost(text), TOLD_AFTER_MS);
    try {
      const answer = await fetch('api/events', {
        method: 'HEAD', cache: 'no-store', signal: AbortSignal.timeout(SILENCE_MS),
      });
      if (answer.status === 401 || answer.status === 403) {
        close();
        onRefused();
      } else if (answer.status === 503) {
        text = 'The relay takes no more viewers for now.';
      }
    } catch {
      // Not there: that's what the text says.
    }
  }

  document.addEventListener('visibilitychange', () => {
    clearTimeout(telling);
    telling = 0;
    if (document.hidden) close();
    else open();
  });
  window.addEventListener('pagehide', close);
  window.addEventListener('pageshow', (event) => { if (event.persisted) open(); });
  if (!document.hidden) open();
}
