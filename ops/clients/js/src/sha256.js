// Hashes a bundle's text, on a CLI. Phones never do: what labels their code comes from the relay, as
// SHA-256 in JavaScript takes seconds for a bundle there.

/**
 * The hex SHA-256 of `text` as UTF-8, by the platform's own code: that of Node and Bun, or WebCrypto.
 *
 * @param {string} text
 * @param {object} [platform] what has `process` or `crypto`.
 * @returns {Promise<string>} rejected where the platform has neither.
 */
export function sha256Hex(text, platform = globalThis) {
  // A bundler that makes an app of this must not look for Node's modules, so there is no import.
  const { process, crypto } = platform;
  if (process && process.getBuiltinModule) {
    const { createHash } = process.getBuiltinModule('node:crypto') || {};
    if (createHash) return Promise.resolve(createHash('sha256').update(text, 'utf8').digest('hex'));
  }
  if (!crypto || !crypto.subtle) {
    return Promise.reject(new Error('There is no SHA-256 here: neither node:crypto nor WebCrypto'));
  }
  return crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)).then(hex);
}

function hex(buffer) {
  return Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
