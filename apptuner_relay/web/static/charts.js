// The history as small multiples over one time: each chart has its axes, thresholds and the bands of
// warnings. Pointing at one, or the arrow keys, reads the values of all.

import { bandsOf } from './bands.js';
import { draw, make, setText } from './dom.js';
import { clock, day } from './format.js';
import { thresholdsOf, valueOf, when } from './history.js';
import { nearest, reach, runs, timeTicks } from './scales.js';

const HEIGHT = 132;
const TOP = 16; // room for the name of a threshold at the top
const FLOOR = HEIGHT - 20; // below it: the time axis
const RIGHT = 6; // room for the dot at the end of a line
const LETTER = 6.1; // px, of an axis' text
const REDRAWN_MS = 9_000;
const NOTHING = 'nothing measured yet';

/** @param said an element in which a screen reader hears what the arrow keys read */
export class Charts {
  constructor(container, said) {
    this.container = container;
    this.said = said;
    this.figures = [];
    this.shown = null;
    this.at = null; // the time that is pointed at
    container.addEventListener('pointermove', (event) => this.#point(event));
    container.addEventListener('pointerdown', (event) => this.#point(event));
    container.addEventListener('pointerleave', () => this.#unpoint());
    container.addEventListener('blur', () => this.#unpoint());
    container.addEventListener('keydown', (event) => this.#key(event));
    new ResizeObserver(() => this.#resized()).observe(container);
  }

  /** Show a history of `historyOf`, with the thresholds and the warnings of the status. */
  update(history, status) {
    const isOther = history.range !== this.history?.range;
    const marks = JSON.stringify([
      history.points.at(-1), history.points.length, status.worries, status.past_worries, status.thresholds,
    ]);
    const isSame = marks === this.shown;
    const names = history.charts.map(({ title }) => title).join();
    if (names !== this.names) this.#make(history, names);
    // One that is pointed at isn't drawn anew below the finger.
    if (!isOther && (this.at !== null || (isSame && history.endMs - this.history.endMs < REDRAWN_MS))) return;
    this.history = history;
    this.status = status;
    this.shown = marks;
    this.#draw();
  }

  #make({ charts }, names) {
    this.at = null;
    this.names = names;
    this.figures = charts.map((chart) => {
      const peak = make('span', { class: 'peak' });
      const value = make('span', { class: 'value' });
      const svg = draw('svg', { role: 'img', height: HEIGHT });
      const root = make('figure', { class: 'chart', 'data-chart': chart.name },
        make('figcaption', {}, make('b', {}, chart.title), value, peak), svg);
      return { chart, root, peak, value, svg };
    });
    this.container.replaceChildren(...this.figures.map((figure) => figure.root));
  }

  #draw() {
    if (!this.history) return;
    const { startMs, endMs } = this.history;
    this.bands = bandsOf(this.status, startMs, endMs);
    for (const figure of this.figures) this.#drawOne(figure);
  }

  #drawOne(figure) {
    const { chart, svg } = figure;
    const { points, range } = this.history;
    figure.width = svg.clientWidth;
    if (!figure.width) return;
    const values = points.map((point) => valueOf(chart, point));
    const { top, near, far } = reach(values, chart.least, thresholdsOf(this.status, chart));
    const labels = [0, top / 2, top].map((value) => ({ value, text: value ? chart.show(value) : '0' }));
    figure.left = Math.ceil(Math.max(...labels.map(({ text }) => text.length)) * LETTER) + 8;
    figure.y = (value) => FLOOR - (value / top) * (FLOOR - TOP);
    svg.setAttribute('viewBox', `0 0 ${figure.width} ${HEIGHT}`);
    const parts = labels.flatMap(({ value, text }) => [
      draw('line', {
        class: value ? 'grid' : 'grid base', x1: figure.left, x2: figure.width, y1: figure.y(value), y2: figure.y(value),
      }),
      draw('text', { x: figure.left - 6, y: figure.y(value) + 4, 'text-anchor': 'end' }, text),
    ]);
    parts.push(...this.#bands(figure), ...this.#data(figure));
    parts.push(...this.#thresholds(figure, near), ...this.#axis(figure));
    figure.mark = draw('g');
    svg.replaceChildren(...parts, figure.mark);
    this.#caption(figure, far);
  }

  #x({ left, width }, ms) {
    const { startMs, endMs } = this.history;
    return left + ((ms - startMs) / (endMs - startMs)) * (width - left - RIGHT);
  }

  #bands(figure) {
    return this.bands.flatMap(({ fromMs, toMs, level, text }) => {
      const x = this.#x(figure, fromMs);
      const width = Math.max(2, this.#x(figure, toMs) - x);
      const about = draw('title', {}, text);
      return [
        draw('rect', { class: 'band', 'data-level': level, x, y: TOP, width, height: FLOOR - TOP }, about),
        draw('rect', { class: 'band edge', 'data-level': level, x, y: TOP - 3, width, height: 3 }),
      ];
    });
  }

  #data(figure) {
    const points = this.history.points.filter((point) => valueOf(figure.chart, point) !== null);
    if (this.history.range.isBars) return this.#bars(figure, points);
    const { isDots, isStems } = figure.chart;
    return isDots ? this.#dots(figure, points) : isStems ? this.#stems(figure, points) : this.#lines(figure, points);
  }

  #dots(figure, points) {
    return points.map((p) => draw('circle', {
      class: 'one', cx: this.#x(figure, p.ms).toFixed(1), cy: figure.y(valueOf(figure.chart, p)).toFixed(1), r: 2.25,
    }));
  }

  #stems(figure, points) {
    const stems = points.filter((p) => valueOf(figure.chart, p) > 0)
      .map((p) => `M${this.#x(figure, p.ms).toFixed(1)},${FLOOR}V${figure.y(valueOf(figure.chart, p)).toFixed(1)}`);
    return [draw('path', { class: 'stems', d: stems.join('') })];
  }

  #lines(figure, points) {
    const { chart, y } = figure;
    const { range } = this.history;
    const parts = runs(points, range.gapMs).flatMap((run) => {
      const path = run.map((p) => `${this.#x(figure, p.ms).toFixed(1)},${y(valueOf(chart, p)).toFixed(1)}`);
      const [from, to] = [run[0], run.at(-1)].map((p) => this.#x(figure, p.ms).toFixed(1));
      return [
        draw('path', { class: 'area', d: `M${from},${FLOOR}L${path.join('L')}L${to},${FLOOR}Z` }),
        draw('path', { class: 'line', d: `M${path.join('L')}${path.length > 1 ? '' : 'h1'}` }),
      ];
    });
    const last = points.at(-1);
    if (last) parts.push(draw('circle', { class: 'end', cx: this.#x(figure, last.ms), cy: y(valueOf(chart, last)), r: 3 }));
    return parts;
  }

  #bars(figure, points) {
    const { chart, y } = figure;
    const { dayMs, endMs } = this.history;
    return points.map((point) => {
      const from = this.#x(figure, point.ms);
      const room = this.#x(figure, point.ms + dayMs) - from;
      const width = Math.max(1, Math.min(room - (room > 5 ? 2 : 1), 36));
      const value = valueOf(chart, point);
      const height = value ? Math.max(1, FLOOR - y(value)) : 0;
      return draw('rect', {
        class: point.ms + dayMs >= endMs ? 'bar today' : 'bar', x: from + (room - width) / 2, y: FLOOR - height, width, height,
      });
    });
  }

  #thresholds({ chart, left, width, y }, near) {
    return near.flatMap(({ level, value }) => [
      draw('line', { class: 'threshold', 'data-level': level, x1: left, x2: width, y1: y(value), y2: y(value) }),
      draw('text', { class: 'threshold', 'data-level': level, x: width - 2, y: y(value) - 4, 'text-anchor': 'end' },
        limitText(level, chart.show(value))),
    ]);
  }

  #axis(figure) {
    const { startMs, endMs, range, points, dayMs } = this.history;
    const room = figure.width - figure.left;
    const times = range.isBars
      ? dayTicks(points, room).map((point) => ({ ms: point.ms + dayMs / 2, text: day(point.date).slice(4) }))
      : clockTicks(startMs, endMs, room);
    return times.flatMap(({ ms, text }) => {
      const x = this.#x(figure, ms);
      const half = (text.length * LETTER) / 2;
      const middle = Math.min(x, figure.width - half);
      return [
        draw('line', { class: 'grid base', x1: x, x2: x, y1: FLOOR, y2: FLOOR + 4 }),
        draw('text', { x: middle, y: HEIGHT - 4, 'text-anchor': 'middle' }, text),
      ];
    });
  }

  #caption({ chart, svg, peak, value }, far) {
    const { points, range } = this.history;
    const known = points.filter((point) => valueOf(chart, point) !== null);
    const beyond = far.slice(0, 1).map((one) => limitText(one.level, chart.show(one.value)));
    if (!known.length) {
      setText(peak, NOTHING);
      setText(value, '');
      svg.setAttribute('aria-label', `${chart.title}, ${range.title}: ${NOTHING}.`);
      return;
    }
    const highest = known.reduce((a, b) => (valueOf(chart, b) > valueOf(chart, a) ? b : a));
    const lowest = known.reduce((a, b) => (valueOf(chart, b) < valueOf(chart, a) ? b : a));
    const last = known.at(-1);
    const word = range.isBars ? (last === points.at(-1) ? 'today' : day(last.date)) : chart.isDots ? 'last' : 'now';
    const now = chart.show(valueOf(chart, last));
    const at = `${chart.show(valueOf(chart, highest))} ${range.isBars ? 'on' : 'at'} ${when(this.history, highest)}`;
    setText(peak, [`peak ${at}`, ...beyond].join(' · '));
    setText(value, word === 'now' ? now : `${word} ${now}`);
    svg.setAttribute('aria-label', `${chart.title}, ${range.title}: ${word} ${now}, highest ${at}, `
      + `lowest ${chart.show(valueOf(chart, lowest))}.${beyond.length ? ` The relay ${beyond}.` : ''}`);
  }

  #point(event) {
    const figure = this.figures.find(({ root }) => root.contains(event.target)) ?? this.figures[0];
    if (!this.history || !figure?.width) return;
    const box = figure.svg.getBoundingClientRect();
    const { startMs, endMs, range, dayMs } = this.history;
    const part = (event.clientX - box.left - figure.left) / (figure.width - figure.left - RIGHT);
    this.#read(startMs + part * (endMs - startMs) - (range.isBars ? dayMs / 2 : 0));
  }

  #key(event) {
    const { points = [] } = this.history ?? {};
    const i = this.at === null ? points.length : points.findIndex(({ ms }) => ms === this.at);
    const to = { ArrowLeft: i - 1, ArrowRight: i + 1, Home: 0, End: points.length - 1 }[event.key];
    if (event.key === 'Escape') this.#unpoint();
    if (to === undefined || !points.length) return;
    event.preventDefault();
    this.#read(points[Math.max(0, Math.min(points.length - 1, to))].ms);
    const values = this.figures.map(({ chart, value }) => `${chart.title} ${value.textContent.split(' · ').at(-1)}`);
    setText(this.said, `${when(this.history, nearest(points, this.at))}: ${values.join(', ')}`);
  }

  /** Show the values of the point that is nearest to a time. */
  #read(ms) {
    const { points, range, dayMs } = this.history;
    const point = nearest(points, ms);
    if (!point) return;
    this.at = point.ms;
    for (const figure of this.figures) {
      const { chart, mark, value, y } = figure;
      const x = this.#x(figure, range.isBars ? point.ms + dayMs / 2 : point.ms);
      mark?.replaceChildren(
        draw('line', { class: 'cross', x1: x, x2: x, y1: TOP, y2: FLOOR }),
        ...(valueOf(chart, point) === null ? [] : [draw('circle', { class: 'dot', cx: x, cy: y(valueOf(chart, point)), r: 4 })]),
      );
      setText(value, `${when(this.history, point)} · ${chart.show(valueOf(chart, point))}`);
    }
  }

  /** Drawn anew, nothing is marked any more: what comes is to be shown again. */
  #resized() {
    this.at = null;
    this.#draw();
  }

  #unpoint() {
    if (this.at === null) return;
    this.at = null;
    setText(this.said, '');
    this.#draw();
  }
}

const limitText = (level, value) => `${level === 'notice' ? 'notes' : 'warns'} above ${value}`;

/** The times that an axis names; of a minute its beginning and its end. */
function clockTicks(startMs, endMs, room) {
  const ticks = timeTicks(startMs, endMs, Math.max(2, Math.floor(room / 58)));
  if (ticks.length > 1) return ticks.map((ms) => ({ ms, text: clock(ms) }));
  return [startMs, endMs].map((ms) => ({ ms, text: clock(ms, true) }));
}

/** The days that an axis names: today, and as many before it as there is room for. */
function dayTicks(points, room) {
  const every = Math.max(1, Math.ceil(points.length / Math.max(1, Math.floor(room / 62))));
  return points.filter((_, i) => (points.length - 1 - i) % every === 0);
}
