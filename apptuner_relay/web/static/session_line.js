// What the page asks of the relay: the state of its session, again and again while somebody looks.

const EVERY_MS = 1_500;
const NOBODY_MS = 3_000; // while nobody is there yet
const PATIENCE_MS = 12_000; // the relay may have to ask another one
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 15_000;

/** One session, as this browser may ask for it. The id itself is told for the QR code only. */
export class SessionLine {
  /**
   * @param hash the SHA-256 of its id
   * @param secret what its CLI connects with, or nothing
   */
  constructor(hash, secret) {
    this.hash = hash;
    this.secret = secret;
  }

  /** An answer as { status, body, waitMs }: 0 is for none. `waitMs` is what the relay asks for. */
  async ask(path, method = 'GET', body = undefined) {
    const headers = { 'AppTuner-Session': this.hash };
    if (this.secret) headers.Authorization = `Bearer ${this.secret}`;
    try {
      const answer = await fetch(`session/${path}`, {
        method, headers, cache: 'no-store', credentials: 'omit',
        body: body && JSON.stringify(body), signal: AbortSignal.timeout(PATIENCE_MS),
      });
      const waitMs = 1000 * Number(answer.headers.get('Retry-After') ?? 0) || 0;
      return { status: answer.status, body: await answer.json(), waitMs };
    } catch {
      return { status: 0, body: { error: 'There is no connection to the relay.' }, waitMs: 0 };
    }
  }
}

/**
 * Ask for the state until `stop` is called, but not while the page is hidden.
 *
 * @param onAnswer called with each answer. It returns whether to go on.
 * @return stop, and `now`, which asks at once
 */
export function follow(line, onAnswer) {
  let timer = 0;
  let retryMs = FIRST_RETRY_MS;
  let isAsking = false;
  let isOver = false;

  async function ask() {
    clearTimeout(timer);
    if (isAsking || isOver || document.hidden) return;
    isAsking = true;
    const answer = await line.ask('state');
    isAsking = false;
    if (isOver) return;
    if (!onAnswer(answer)) {
      stop();
      return;
    }
    const isWell = answer.status === 200 || answer.status === 404;
    const paceMs = answer.status === 404 ? NOBODY_MS : EVERY_MS;
    const waitMs = isWell ? paceMs : Math.max(retryMs, answer.waitMs);
    retryMs = isWell ? FIRST_RETRY_MS : Math.min(retryMs * 1.6, LAST_RETRY_MS);
    timer = setTimeout(ask, waitMs);
  }

  function stop() {
    isOver = true;
    clearTimeout(timer);
    document.removeEventListener('visibilitychange', ask);
  }

  document.addEventListener('visibilitychange', ask);
  ask();
  return { stop, now: ask };
}
