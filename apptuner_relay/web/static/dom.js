// What the page does to its document. Text goes in as text: there is no HTML from anywhere.

const SVG = 'http://www.w3.org/2000/svg';

export const $ = (id) => document.getElementById(id);

/** Set an element's text, if it changes: screen readers and selections are left in peace. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Show [number, unit], the unit small. */
export function setMetric(element, [number, unit]) {
  if (element.dataset.shown === `${number} ${unit}`) return;
  element.dataset.shown = `${number} ${unit}`;
  element.replaceChildren(number, unit ? make('span', { class: 'unit' }, `\u00a0${unit}`) : '');
}

export function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/**
 * Make `body` have one row for each of `items`, in their order. Rows are kept, by `key(item)`, so
 * that focus stays where it is; `create(item)` makes a row, `update(row, item)` brings it up to date.
 */
export function setRows(body, items, key, create, update) {
  const old = new Map();
  for (const row of [...body.children]) {
    // Of two items with one key each has a row, but there is no telling whose is whose.
    if (old.has(row.dataset.key)) row.remove();
    else old.set(row.dataset.key, row);
  }
  // A row that is moved loses focus: what goes has to go first.
  const names = new Set(items.map((item) => String(key(item))));
  for (const [name, row] of old) if (!names.has(name)) row.remove();
  let place = body.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    let row = old.get(name);
    old.delete(name);
    if (!row) {
      row = create(item);
      row.dataset.key = name;
    }
    if (row === place) place = place.nextElementSibling;
    else body.insertBefore(row, place);
    update(row, item);
  }
}
