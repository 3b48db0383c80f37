// The name of a session's channel. It has the SHA-256 of the session's id, which React Native has no
// function for: the one here is for short texts. A bundle takes it seconds.

const BLOCK_BYTES = 64;

/** `presence-PREFIX.HASH`: the channel of a session, whose id has that hex SHA-256. */
export function channelName(session, prefix = 'apptuner') {
  return `presence-${prefix}.${sha256OfShort(session)}`;
}

/** The hex SHA-256 (FIPS 180-4) of a text of ASCII characters. */
export function sha256OfShort(text) {
  const { roundConstants, initial } = constants();
  const bytes = padded(text);
  const state = initial.slice();
  const words = new Uint32Array(64);
  for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
    for (let i = 0; i < 16; i += 1) {
      const place = at + 4 * i;
      words[i] =
        (bytes[place] << 24) | (bytes[place + 1] << 16) | (bytes[place + 2] << 8) | bytes[place + 3];
    }
    for (let i = 16; i < 64; i += 1) {
      const [low, high] = [words[i - 15], words[i - 2]];
      const s0 = rotated(low, 7) ^ rotated(low, 18) ^ (low >>> 3);
      const s1 = rotated(high, 17) ^ rotated(high, 19) ^ (high >>> 10);
      words[i] = words[i - 16] + s0 + words[i - 7] + s1;
    }
    mix(state, words, roundConstants);
  }
  return Array.from(state, (word) => `0000000${word.toString(16)}`.slice(-8)).join('');
}

function mix(state, words, roundConstants) {
  let [a, b, c, d, e, f, g, h] = state;
  for (let i = 0; i < 64; i += 1) {
    const s1 = rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25);
    const first = (h + s1 + ((e & f) ^ (~e & g)) + roundConstants[i] + words[i]) | 0;
    const s0 = rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22);
    const second = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) | 0, c, b, a, (first + second) | 0];
  }
  [a, b, c, d, e, f, g, h].forEach((word, i) => {
    state[i] += word;
  });
}

function rotated(word, bits) {
  return (word >>> bits) | (word << (32 - bits));
}

function padded(text) {
  const size = BLOCK_BYTES * Math.ceil((text.length + 9) / BLOCK_BYTES);
  const bytes = new Uint8Array(size);
  for (let i = 0; i < text.length; i += 1) bytes[i] = text.charCodeAt(i);
  bytes[text.length] = 0x80;
  const bits = 8 * text.length;
  for (let i = 1; i <= 4; i += 1) bytes[size - i] = bits >>> (8 * (i - 1));
  return bytes;
}

/** The first 32 bits of the fractional parts of the roots of the first primes. */
function constants() {
  const roundConstants = new Uint32Array(64);
  const initial = new Uint32Array(8);
  const fraction = (root) => (root - Math.floor(root)) * 0x100000000;
  let found = 0;
  for (let candidate = 2; found < 64; candidate += 1) {
    if (!isPrime(candidate)) continue;
    if (found < 8) initial[found] = fraction(Math.sqrt(candidate));
    roundConstants[found] = fraction(Math.cbrt(candidate));
    found += 1;
  }
  return { roundConstants, initial };
}

function isPrime(number) {
  for (let factor = 2; factor * factor <= number; factor += 1) {
    if (number % factor === 0) return false;
  }
  return true;
}
