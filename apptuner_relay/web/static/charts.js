// The last hour as small multiples over one time axis: sessions, bytes sent per second, loop lag.

import { clock, count, counted, joined, milliseconds, rate } from './format.js';
import { draw, make, setRows, setText } from './dom.js';

const HOUR_MS = 3_600_000;
const GAP_MS = 25_000; // longer between two points, and something was not measured
const HEIGHT = 112;
const TOP = 6;
const BOTTOM = 18; // of the last chart: its time axis
const RIGHT = 5; // room for the dot at the end of a line
const TABLE_MS = 300_000;

const CHARTS = [
  {
    name: 'sessions', title: 'Sessions', column: 1, show: count,
    say: (n) => counted(n, 'session'), least: 4,
  },
  {
    name: 'sending', title: 'Sending', column: 3, show: (n) => joined(rate(n)),
    say: (n) => joined(rate(n)), least: 1e6,
  },
  {
    name: 'lag', title: 'Event-loop lag', column: 4, show: (n) => joined(milliseconds(n)),
    say: (n) => joined(milliseconds(n)), least: 20,
  },
];

/** Draws into `container`; `tableBody` gets the same as a table. */
export class Charts {
  constructor(container, tableBody) {
    this.container = container;
    this.tableBody = tableBody;
    this.points = [];
    this.nowMs = 0;
    this.figures = CHARTS.map((chart) => this.#figure(chart));
    container.append(...this.figures.map((figure) => figure.root));
    container.addEventListener('pointermove', (event) => this.#point(event));
    container.addEventListener('pointerdown', (event) => this.#point(event));
    container.addEventListener('pointerleave', () => this.#unpoint());
    new ResizeObserver(() => this.#resized()).observe(container);
  }

  /** `hour` as in the status: [t_ms, sessions, connections, bytes_out_per_s, loop_lag_ms]. */
  update(hour, nowMs) {
    const last = hour.at(-1)?.[0];
    const same = last === this.points.at(-1)?.[0] && hour.length === this.points.length;
    this.points = hour;
    this.nowMs = nowMs;
    // One that is pointed at isn't drawn anew below the finger.
    if ((same && nowMs - this.drawnMs < 10_000) || this.pointed) return;
    this.#draw();
    this.#tabulate();
  }

  #figure(chart) {
    const peak = make('span', { class: 'peak' });
    const value = make('span', { class: 'value' });
    const svg = draw('svg', { role: 'img', height: HEIGHT });
    const root = make('figure', { class: 'chart', 'data-chart': chart.name },
      make('figcaption', {}, make('b', {}, chart.title), peak, value), svg);
    return { chart, root, peak, value, svg };
  }

  #draw() {
    this.drawnMs = this.nowMs;
    this.width = this.figures[0].svg.clientWidth;
    if (!this.width) return;
    this.startMs = this.nowMs - HOUR_MS;
    this.figures.forEach((figure, i) => this.#drawOne(figure, i === this.figures.length - 1));
  }

  #x(ms) {
    return ((ms - this.startMs) / HOUR_MS) * (this.width - RIGHT);
  }

  #drawOne(figure, isLast) {
    const { chart, svg } = figure;
    const points = this.points.filter(([ms]) => ms >= this.startMs);
    const top = ceiling(Math.max(chart.least, ...points.map((p) => p[chart.column])));
    const floor = HEIGHT - BOTTOM;
    const height = isLast ? HEIGHT : floor + 4;
    const y = (value) => floor - (value / top) * (floor - TOP);
    figure.y = y;
    svg.setAttribute('height', height);
    svg.setAttribute('viewBox', `0 0 ${this.width} ${height}`);
    const parts = [0, top / 2, top].map((value) => draw('line', {
      class: 'grid', x1: 0, x2: this.width, y1: y(value), y2: y(value),
    }));
    for (const run of runs(points)) {
      const path = run.map((p) => `${this.#x(p[0]).toFixed(1)},${y(p[chart.column]).toFixed(1)}`);
      const [from, to] = [this.#x(run[0][0]), this.#x(run.at(-1)[0])].map((x) => x.toFixed(1));
      parts.push(
        draw('path', { class: 'area', d: `M${from},${floor}L${path.join('L')}L${to},${floor}Z` }),
        draw('path', { class: 'line', d: `M${path.join('L')}${path.length > 1 ? '' : 'h1'}` }),
      );
    }
    const last = points.at(-1);
    if (last) parts.push(draw('circle', { class: 'end', cx: this.#x(last[0]), cy: y(last[chart.column]), r: 3 }));
    parts.push(draw('text', { x: 2, y: TOP + 12 }, chart.show(top)));
    if (isLast) parts.push(...this.#axis(floor));
    figure.mark = draw('g');
    svg.replaceChildren(...parts, figure.mark);
    this.#caption(figure, points);
  }

  #axis(floor) {
    const step = (this.width < 520 ? 20 : 10) * 60_000;
    const labels = [];
    for (let ms = Math.ceil(this.startMs / step) * step; ms <= this.nowMs; ms += step) {
      const x = this.#x(ms);
      if (x < 16 || x > this.width - 16) continue;
      labels.push(
        draw('line', { class: 'grid', x1: x, x2: x, y1: floor, y2: floor + 4 }),
        draw('text', { x, y: floor + 15, 'text-anchor': 'middle' }, clock(ms)),
      );
    }
    return labels;
  }

  #caption({ chart, svg, peak, value }, points) {
    if (!points.length) {
      setText(peak, 'nothing measured yet');
      setText(value, '');
      svg.setAttribute('aria-label', `${chart.title} over the last hour: nothing measured yet.`);
      return;
    }
    const highest = points.reduce((a, b) => (b[chart.column] > a[chart.column] ? b : a));
    const lowest = Math.min(...points.map((p) => p[chart.column]));
    const last = points.at(-1)[chart.column];
    setText(peak, `peak ${chart.show(highest[chart.column])} at ${clock(highest[0])}`);
    setText(value, chart.show(last));
    svg.setAttribute('aria-label', `${chart.title} over the last hour: now ${chart.say(last)}, `
      + `highest ${chart.show(highest[chart.column])} at ${clock(highest[0])}, `
      + `lowest ${chart.show(lowest)}.`);
  }

  #point(event) {
    const box = this.figures[0].svg.getBoundingClientRect();
    const ms = this.startMs + ((event.clientX - box.left) / (box.width - RIGHT)) * HOUR_MS;
    const nearest = this.points.reduce(
      (a, b) => (a && Math.abs(a[0] - ms) < Math.abs(b[0] - ms) ? a : b), null,
    );
    if (!nearest || nearest[0] < this.startMs) return;
    this.pointed = true;
    const x = this.#x(nearest[0]);
    for (const { chart, mark, value, y } of this.figures) {
      mark.replaceChildren(
        draw('line', { class: 'cross', x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM }),
        draw('circle', { class: 'dot', cx: x, cy: y(nearest[chart.column]), r: 4 }),
      );
      setText(value, `${clock(nearest[0])} · ${chart.show(nearest[chart.column])}`);
    }
  }

  /** Drawn anew, nothing is marked any more: what comes is to be shown again. */
  #resized() {
    this.pointed = false;
    this.#draw();
  }

  #unpoint() {
    if (!this.pointed) return;
    this.pointed = false;
    this.#draw();
  }

  #tabulate() {
    const rows = new Map();
    for (const [ms, sessions, , bytes, lag] of this.points) {
      const start = Math.floor(ms / TABLE_MS) * TABLE_MS;
      const row = rows.get(start) ?? { start, sessions: 0, bytes: 0, lag: 0, points: 0 };
      row.sessions = Math.max(row.sessions, sessions);
      row.lag = Math.max(row.lag, lag);
      row.bytes += bytes;
      row.points += 1;
      rows.set(start, row);
    }
    setRows(this.tableBody, [...rows.values()].reverse(), (row) => row.start, (row) => make('tr', {},
      make('th', { scope: 'row' }, clock(row.start)), make('td'), make('td'), make('td')),
    (tr, row) => {
      const [, sessions, bytes, lag] = tr.children;
      setText(sessions, count(row.sessions));
      setText(bytes, joined(rate(row.bytes / row.points)));
      setText(lag, joined(milliseconds(row.lag)));
    });
  }
}

/** The next round number: 1, 2 or 5 times a power of ten, whose half is round enough as well. */
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 6, 10].map((n) => n * power).find((n) => n >= value * 0.9999);
}

function runs(points) {
  const found = [];
  points.forEach((point, i) => {
    if (i && point[0] - points[i - 1][0] <= GAP_MS) found.at(-1).push(point);
    else found.push([point]);
  });
  return found;
}
