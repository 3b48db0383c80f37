// How long a text is as UTF-8.

/** Bytes of `text` as UTF-8. Half a surrogate pair counts as U+FFFD, which encoders make of it. */
export function utf8Length(text) {
  return typeof Buffer === 'undefined' ? countedLength(text) : Buffer.byteLength(text, 'utf8');
}

/** The same where there is no Buffer. */
export function countedLength(text) {
  let bytes = text.length;
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    if (unit < 0x80) continue;
    bytes += unit < 0x800 ? 1 : 2;
    if (unit >= 0xd800 && unit < 0xdc00 && at + 1 < text.length) {
      const next = text.charCodeAt(at + 1);
      if (next >= 0xdc00 && next < 0xe000) {
        // The other half of a pair: they are four bytes together.
        at += 1;
      }
    }
  }
  return bytes;
}
