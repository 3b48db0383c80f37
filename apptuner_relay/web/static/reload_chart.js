// The reload times of the last bundles, as bars, the oldest at the left.

import { clock } from './format.js';
import { $, draw, setText } from './dom.js';
import { resultOf } from './session_bundles.js';
import { seconds } from './session_answer.js';

const HEIGHT = 104;
const TOP = 16;
const BOTTOM = 18;
const LEFT = 2;
const MOST = 20;
const FEWEST = 8; // bars that there is room for, so that two of them are no walls
const STUB = 3; // of a bundle without a time

let drawn = '';

/** `bundles` are newest first. */
export function showReloads(bundles) {
  $('reloads').hidden = bundles.length < 2;
  if (bundles.length < 2) return;
  const shown = bundles.slice(0, MOST).reverse();
  const svg = $('reload-chart');
  const width = svg.clientWidth;
  const key = JSON.stringify([width, shown.map((b) => [b.id, b.acknowledged_s, ...resultOf(b)])]);
  if (!width || key === drawn) return;
  drawn = key;
  const times = shown.map(timeOf).filter((s) => s !== null);
  const top = Math.max(0.001, ...times);
  const floor = HEIGHT - BOTTOM;
  const slot = (width - LEFT) / Math.max(FEWEST, shown.length);
  const y = (s) => floor - (s / top) * (floor - TOP);
  const parts = [];
  const middle = median(times);
  shown.forEach((bundle, i) => {
    const time = timeOf(bundle);
    const [tone, , text] = resultOf(bundle);
    const x = LEFT + i * slot;
    const at = time === null ? floor - STUB : Math.min(y(time), floor - STUB);
    const bar = draw('rect', {
      class: 'reload', 'data-tone': tone, x: x + slot * 0.16, width: slot * 0.68, y: at, height: floor - at, rx: 2,
    });
    bar.append(draw('title', {}, `${clock(bundle.began_ms, true)}: ${time === null ? text : seconds(time)}, ${text}`));
    parts.push(bar);
    if (i === shown.length - 1 && time !== null) {
      parts.push(draw('text', { class: 'now', x: x + slot / 2, y: Math.max(11, at - 4), 'text-anchor': 'middle' }, seconds(time)));
    }
  });
  parts.unshift(draw('line', { class: 'grid', x1: 0, x2: width, y1: floor, y2: floor }));
  if (middle !== null) {
    parts.push(draw('line', { class: 'median', x1: 0, x2: width, y1: y(middle), y2: y(middle) }));
  }
  for (const i of [0, shown.length - 1]) {
    parts.push(draw('text', { x: LEFT + (i + 0.5) * slot, y: HEIGHT - 4, 'text-anchor': 'middle' }, clock(shown[i].began_ms)));
  }
  svg.setAttribute('viewBox', `0 0 ${width} ${HEIGHT}`);
  svg.replaceChildren(...parts);
  const said = middle === null ? 'No phone has acknowledged any of them.'
    : `Median ${seconds(middle)}, longest ${seconds(top)}.`;
  setText($('reload-caption'), said);
  svg.setAttribute('aria-label', `Reload times of the last ${shown.length} bundles. ${said}`);
}

const timeOf = (bundle) => bundle.acknowledged_s ?? null;

function median(values) {
  if (!values.length) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}
