// Makes of what an app logs what JSON can carry, in bounded time and size.

const MOST_DEPTH = 6;
const MOST_ENTRIES = 100;
const MARK = '…';

/**
 * What `args` become in a `console_log`: JSON's own kinds of values. What JSON has no word for becomes
 * a text, and so does an Error, with its stack. What is long, deep or wide is cut, with a mark.
 *
 * @param {Array} args
 * @param {number} most how many UTF-16 code units it may have as JSON.
 */
export function logValues(args, most) {
  // Characters that are escaped are longer in JSON than was reckoned with.
  for (let left = most; ; left = Math.floor(left / 2)) {
    const values = list(args, { left }, []);
    if (left < 64 || JSON.stringify(values).length <= most) return values;
  }
}

function plain(value, budget, parents) {
  try {
    return typeof value === 'object' && value !== null
      ? composite(value, budget, parents)
      : simple(value, budget);
  } catch (error) {
    // A getter, a toJSON or a proxy of the app's.
    return '[unreadable]';
  }
}

function simple(value, budget) {
  if (typeof value === 'string') return text(value, budget);
  budget.left -= 8;
  if (value === null || typeof value === 'boolean') return value;
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  if (typeof value === 'bigint') return text(`${value}n`, budget);
  if (typeof value === 'function') return text(`[function ${nameOf(value)}]`, budget);
  return text(String(value), budget);
}

function composite(value, budget, outer) {
  budget.left -= 8;
  if (outer.indexOf(value) >= 0) return '[circular]';
  if (outer.length >= MOST_DEPTH || budget.left <= 0) return MARK;
  const parents = outer.concat([value]);
  if (value instanceof Error) return text(errorText(value), budget);
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (typeof value.toJSON === 'function') return plain(value.toJSON(), budget, parents);
  if (Array.isArray(value)) return list(value, budget, parents);
  if (value instanceof Map || value instanceof Set) return collection(value, budget, parents);
  const made = {};
  const keys = Object.keys(value);
  for (let at = 0; at < keys.length; at += 1) {
    if (at === MOST_ENTRIES || budget.left <= 0) {
      made[MARK] = keys.length - at;
      break;
    }
    // A key of that name would set the prototype.
    if (keys[at] === '__proto__') continue;
    made[text(keys[at], budget)] = plain(value[keys[at]], budget, parents);
  }
  return made;
}

function collection(value, budget, parents) {
  const items = [];
  for (const item of value) {
    items.push(item);
    if (items.length > MOST_ENTRIES) break;
  }
  return list(items, budget, parents);
}

function list(items, budget, parents) {
  const made = [];
  for (let at = 0; at < items.length; at += 1) {
    if (at === MOST_ENTRIES || budget.left <= 0) {
      made.push(MARK);
      break;
    }
    made.push(plain(items[at], budget, parents));
  }
  return made;
}

/** As much of a text as there is room for, in whole characters. */
function text(value, budget) {
  const most = Math.max(0, budget.left);
  budget.left -= Math.min(value.length, most) + 2;
  if (value.length <= most) return value;
  const last = value.charCodeAt(most - 1);
  const stop = last >= 0xd800 && last < 0xdc00 ? most - 1 : most;
  return value.slice(0, stop) + MARK;
}

function errorText(error) {
  const head = `${error.name}: ${error.message}`;
  const stack = typeof error.stack === 'string' ? error.stack : '';
  return stack.indexOf(head) === 0 || !stack ? stack || head : `${head}\n${stack}`;
}

function nameOf(value) {
  return typeof value.name === 'string' && value.name ? value.name : 'anonymous';
}
