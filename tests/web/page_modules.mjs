// The modules of the status page that need no browser. Run by test_page_modules.py, in a copy of
// static/ that is a package of modules.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';

const [folder] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(`${folder}/${name}`));
const [format, scales, bands, needs, history, health, rows, finder, words, close, events] = await Promise.all([
  'format.js', 'scales.js', 'bands.js', 'needs.js', 'history.js', 'health.js', 'session_rows.js',
  'session_finder.js', 'bundle_words.js', 'session_close.js', 'event_list.js',
].map(load));

const NOW = Date.parse('2026-11-23T12:00:00Z');
const plain = (text) => text.replaceAll('\u00a0', ' ');
const shown = (pair) => plain(format.joined(pair));

test('figures have three digits and a unit', () => {
  assert.equal(format.count(1234567), '1,234,567');
  assert.equal(shown(format.traffic(999)), '999 B');
  assert.equal(shown(format.traffic(999_600)), '1.00 MB');
  assert.equal(shown(format.traffic(28_680_000_000)), '28.7 GB');
  assert.equal(shown(format.memory(91_000_000)), '86.8 MiB');
  assert.equal(shown(format.rate(2_766_667)), '2.77 MB/s');
  assert.equal(shown(format.milliseconds(0.04)), '0 ms');
  assert.equal(shown(format.milliseconds(1500)), '1.50 s');
  assert.equal(plain(format.duration(266_400)), '3 d 2 h');
  assert.equal(plain(format.duration(0.4)), '0 s');
});

test('reload times', () => {
  const cases = [[0.0004, '0 ms'], [0.048, '48 ms'], [0.0996, '100 ms'], [0.1, '0.10 s'], [0.9, '0.90 s'],
    [9.99, '9.99 s'], [12.34, '12.3 s'], [75, '1 min 15 s']];
  for (const [s, text] of cases) assert.equal(shown(format.seconds(s)), text);
});

test('what is not known is a dash', () => {
  for (const unknown of [null, undefined, NaN]) {
    assert.equal(format.count(unknown), '–');
    for (const one of ['traffic', 'memory', 'rate', 'milliseconds', 'seconds']) {
      assert.equal(format.joined(format[one](unknown)), '–', one);
    }
    for (const one of ['duration', 'share', 'clock']) assert.equal(format[one](unknown), '–', one);
    assert.equal(format.moment(unknown, NOW), '–');
  }
});

test('shares, lists and moments', () => {
  assert.deepEqual([0, 0.004, 0.17, 1].map(format.share), ['0%', 'under 1%', '17%', '100%']);
  assert.deepEqual([[], ['a'], ['a', 'b'], ['a', 'b', 'c']].map(format.listed), ['', 'a', 'a and b', 'a, b and c']);
  assert.equal(format.moment(NOW - 60_000, NOW), '11:59');
  assert.equal(format.moment(NOW - 86_400_000, NOW, true), '22 Nov 12:00:00');
  assert.equal(format.day('2026-11-23'), 'Mon 23 Nov');
});

test('the top of a chart is round', () => {
  assert.deepEqual([1, 1.01, 3, 5, 7, 84, 230].map(scales.ceiling), [1, 2, 4, 6, 10, 100, 400]);
});

test('a chart shows the thresholds that its values come near', () => {
  const thresholds = [{ level: 'notice', value: 100 }, { level: 'warning', value: 300 }];
  const near = (values) => scales.reach(values, 4, thresholds).near.map(({ value }) => value);
  assert.deepEqual(near([5]), []);
  assert.deepEqual(near([60]), [100]);
  assert.deepEqual(near([10, 200]), [100, 300]);
  assert.equal(scales.reach([200], 4, thresholds).top, 400);
  assert.deepEqual(scales.reach([], 4, thresholds), { top: 4, near: [], far: thresholds });
});

test('the times of an axis are round, and no more than asked for', () => {
  const ticks = scales.timeTicks(NOW - 3_600_000 + 5000, NOW, 6);
  assert.deepEqual(ticks.map((ms) => format.clock(ms)), ['11:10', '11:20', '11:30', '11:40', '11:50', '12:00']);
  const day = scales.timeTicks(NOW - 86_400_000 + 1, NOW, 5);
  assert.deepEqual(day.map((ms) => format.clock(ms)), ['18:00', '00:00', '06:00', '12:00']);
});

test('a gap parts a line', () => {
  const points = [0, 10, 20, 60, 70].map((ms) => ({ ms }));
  assert.deepEqual(scales.runs(points, 15).map((run) => run.length), [3, 2]);
  assert.deepEqual(scales.runs([], 15), []);
  assert.equal(scales.nearest(points, 33).ms, 20);
  assert.equal(scales.nearest([], 33), null);
});

const warning = (name, level, changes) => ({ name, level, text: `${name}!`, since_ms: NOW - 60_000, ...changes });

test('of two warnings of one kind the higher is shown', () => {
  const both = [warning('cpu_notice', 'notice'), warning('cpu_warning', 'warning'), warning('redis', 'warning')];
  assert.deepEqual(needs.higher(both).map(({ name }) => name), ['cpu_warning', 'redis']);
  assert.deepEqual(needs.higher([both[0]]), [both[0]]);
  const full = [warning('descriptors', 'warning'), warning('descriptors_used_up', 'warning')];
  assert.deepEqual(needs.higher(full), [full[1]]);
});

test('what needs attention, the most serious first', () => {
  const lag = warning('loop_lag', 'warning');
  const status = {
    state: 'degraded', reasons: ['The relay restarts', lag.text], now_ms: NOW,
    worries: [warning('spool_budget', 'notice'), warning('redis', 'warning'), lag],
  };
  const items = needs.needsOf(status);
  assert.deepEqual(items.map(({ key }) => key), ['The relay restarts', 'loop_lag', 'redis', 'spool_budget']);
  assert.equal(plain(items[1].since), 'since 11:59 (1 min)');
  assert.deepEqual(needs.needsOf({ state: 'ok', now_ms: NOW }), []);
});

test('a link of a warning is one to a page, and no script', () => {
  const url = (advice_url, name = 'redis') => needs.advice({ name, advice_url });
  for (const good of ['https://example.org/#x', '#sessions']) assert.equal(url(good), good);
  assert.equal(url('/advice#redis'), './advice#redis');
  for (const bad of ['javascript:alert(1)', '//evil.example', 'data:text/html,x', 5, null, undefined]) {
    assert.equal(url(bad), '#cluster');
  }
  assert.equal(url(undefined, 'memory'), '#health');
  assert.equal(url(undefined, 'certificate'), null);
});

test('the verdict', () => {
  const verdict = (state, ...worries) => plain(needs.verdict({ state, worries })[1]);
  assert.equal(verdict('ok'), 'All well');
  assert.equal(verdict('ok', warning('cpu_notice', 'notice'), warning('cpu_warning', 'warning')), '1 warning');
  assert.equal(verdict('ok', warning('cpu_notice', 'notice')), '1 notice');
  assert.equal(verdict('draining'), 'Draining');
  assert.equal(verdict('degraded', warning('memory', 'warning')), 'Degraded');
});

test('bands are cut to the time that is shown', () => {
  const past = [
    warning('redis', 'warning', { since_ms: NOW - 9e6, until_ms: NOW - 8e6 }),
    warning('redis', 'warning', { since_ms: NOW - 4e6, until_ms: NOW - 3e6 }),
    warning('cpu_notice', 'notice', { since_ms: NOW - 2e6, until_ms: NOW - 1e6 }),
    warning('cpu_warning', 'warning', { since_ms: NOW - 2e6, until_ms: NOW - 1e6 }),
  ];
  const found = bands.bandsOf({ worries: [warning('log', 'warning')], past_worries: past, now_ms: NOW }, NOW - 3.6e6, NOW);
  assert.deepEqual(found.map(({ name, fromMs, toMs }) => [name, fromMs - NOW, toMs - NOW]),
    [['redis', -3.6e6, -3e6], ['cpu_warning', -2e6, -1e6], ['log', -60_000, 0]]);
  assert.equal(needs.span(found[0]), '10:53–11:10');
  assert.equal(needs.span(found[2]), 'since 11:59');
  assert.deepEqual(bands.bandsOf({ now_ms: NOW }, 0, NOW), []);
});

test('a history begins where the relay does', () => {
  const sample = (ago) => [NOW - ago, 1, 2, 3, 4];
  const young = { now_ms: NOW, started_ms: NOW - 600_000, hour: [sample(590_000), sample(10_000)] };
  const { startMs, endMs, points, isWhole } = history.historyOf(young, 'hour');
  assert.deepEqual([startMs - NOW, endMs - NOW, points.length, isWhole], [-600_000, 0, 2, false]);
  assert.equal(history.historyOf({ now_ms: NOW, started_ms: NOW - 1000, hour: [] }, 'hour').startMs, NOW - 60_000);
  const old = { now_ms: NOW, started_ms: NOW - 9e9, hour: [sample(5e6), sample(1000)] };
  assert.equal(history.historyOf(old, 'hour').startMs, NOW - 3_600_000);
  assert.equal(history.historyOf(old, 'hour').points.length, 1);
  assert.equal(history.historyOf(old, 'day').isKnown, false);
  assert.equal(history.historyOf(old, 'nonsense').range.name, 'hour');
  const names = ({ charts }) => charts.map(({ name }) => name);
  assert.deepEqual(names(history.historyOf(old, 'hour')), ['sessions', 'sending', 'lag']);
  const newer = { ...old, columns: ['at_ms', 'sessions', 'reload_s'], hour: [[NOW - 1000, 1, null]] };
  assert.deepEqual(names(history.historyOf(newer, 'hour')), ['sessions', 'reload']);
  const [, reload] = history.historyOf(newer, 'hour').charts;
  assert.equal(history.valueOf(reload, history.historyOf(newer, 'hour').points[0]), null);
});

test('the days, and their table', () => {
  const day = (date, n) => ({ date, peak_sessions: n, peak_connections: n, bundles: n, bundle_bytes: 1e6 * n, bytes_out: 1e6 * n, connections: n, reloads: n % 2, reload_median_ms: 840, failed: 1 });
  const status = { now_ms: NOW, today: day('2026-11-23', 3), days: [day('2026-11-22', 2), day('2026-11-20', 1), day('2026-09-01', 9)] };
  const month = history.historyOf(status, 'month');
  assert.deepEqual(month.points.map(({ date }) => date), ['2026-11-20', '2026-11-22', '2026-11-23']);
  assert.equal(month.endMs - month.startMs, 4 * 86_400_000);
  assert.deepEqual(month.points.map(({ reload_s: s }) => s), [0.84, null, 0.84]);
  const { head, rows: texts } = history.tableOf(month);
  assert.equal(head.length, texts[0].length);
  assert.deepEqual(texts[0].map(plain), ['Mon 23 Nov', '3', '3', '3', '3', '3 MB', '3 MB', '0.84 s', '1']);
});

test('an hour as a table has what was highest in five minutes', () => {
  const hour = [[NOW - 20_000, 5, 9, 2e6, 1], [NOW - 10_000, 7, 8, 4e6, 30], [NOW, 1, 2, 0, 2]];
  const { rows: texts } = history.tableOf(history.historyOf({ now_ms: NOW, started_ms: 0, hour }, 'hour'));
  assert.deepEqual(texts.map((row) => row.map(plain)), [
    ['12:00', '1', '2', '–', '0 B/s', '–', '–', '–', '2 ms'], ['11:55', '7', '9', '–', '3 MB/s', '–', '–', '–', '30 ms'],
  ]);
});

test('thresholds of a chart', () => {
  const charts = history.RANGES[0].charts;
  const [sessions, lag] = ['sessions', 'lag'].map((name) => charts.find((chart) => chart.name === name));
  const status = { thresholds: { sessions: { notice: 300, warning: null }, loop_lag_ms: { warning: 250 } } };
  assert.deepEqual(history.thresholdsOf(status, sessions), [{ level: 'notice', value: 300 }]);
  assert.deepEqual(history.thresholdsOf(status, lag), [{ level: 'warning', value: 250 }]);
  assert.deepEqual(history.thresholdsOf({}, lag), []);
});

test('the gauges of health', () => {
  const status = {
    capacity: { busy_share: 0.6, cores: 2, sessions: 410 }, loop_lag_ms: 300, memory_bytes: 50, memory_limit_bytes: 100,
    descriptors: 10, descriptors_limit: 100, spool: { off: null, bundles: 2, used_bytes: 95, limit_bytes: 100 },
    thresholds: { busy_share: { notice: 0.5, warning: 0.8 }, loop_lag_ms: { warning: 250 }, memory_bytes: { warning: 90 }, descriptors: { warning: 80 } },
  };
  const gauges = Object.fromEntries(health.gaugesOf(status).map((gauge) => [gauge.name, gauge]));
  assert.equal(gauges.cpu.level, 'notice');
  assert.deepEqual(gauges.cpu.marks, [{ level: 'notice', at: 0.5 }, { level: 'warning', at: 0.8 }]);
  assert.deepEqual([gauges.lag.level, gauges.lag.part, plain(gauges.lag.note)], ['notice', 0.96, 'above 250 ms']);
  const [, warned] = health.gaugesOf({ ...status, worries: [warning('loop_lag', 'warning')] });
  assert.equal(warned.level, 'warning');
  assert.deepEqual([gauges.memory.level, gauges.memory.part, plain(gauges.memory.note)], [null, 0.5, '50% of 100 B']);
  assert.equal(gauges.spool.level, 'notice');
  const older = health.gaugesOf({ loop_lag_ms: 1, memory_bytes: 5, memory_limit_bytes: null, descriptors: 1, descriptors_limit: 10, spool: null });
  assert.deepEqual(older.map(({ shown: [text] }) => text), ['–', '1', '5', '1', 'none']);
  assert.deepEqual(older.map(({ part }) => part), [null, null, null, 0.1, null]);
  const [, , , , off] = health.gaugesOf({ spool: { off: 'No space left', bundles: 0, used_bytes: 0, limit_bytes: 1 } });
  assert.deepEqual([off.level, off.note], ['notice', 'No space left']);
});

const session = (hash, since, more) => ({ session: hash, since_ms: since, roles: ['cli'], devices: [], clients: [], ...more });
const listOf = (list) => list.shown(() => true).map(({ row }) => row.session);
const nobody = () => false;

test('rows keep their places while figures change, and new ones come last', () => {
  const list = new rows.SessionRows();
  list.take([session('b', 1), session('a', 1), session('c', 2)], 0, nobody);
  list.sortBy('since');
  assert.deepEqual(listOf(list), ['a', 'b', 'c']);
  list.sortBy('out');
  list.take([session('a', 1, { bytes_out: 5 }), session('b', 1, { bytes_out: 9 }), session('c', 2), session('d', 0)], 1, nobody);
  assert.deepEqual(listOf(list), ['a', 'b', 'c', 'd']);
  assert.equal(list.isSorted, false);
  list.sortBy('out');
  assert.deepEqual(listOf(list), ['b', 'a', 'c', 'd']);
  assert.equal(list.isSorted, true);
  list.sortBy('out', false);
  assert.deepEqual(listOf(list), ['a', 'b', 'c', 'd'], 'what is not known stays last');
});

test('a session that has ended keeps its row for a while, and longer while it is held', () => {
  const list = new rows.SessionRows();
  const [a, b] = [session('a', 1), session('b', 2)];
  list.take([a, b], 0, nobody);
  list.take([b], 1000, nobody);
  assert.deepEqual(list.shown(() => true).map(({ goneMs }) => goneMs), [1000, null]);
  list.take([b], 1000 + rows.LINGER_MS, (key) => key === rows.keyOf(a));
  assert.deepEqual(listOf(list), ['a', 'b']);
  list.take([b], 1001 + rows.LINGER_MS, nobody);
  assert.deepEqual(listOf(list), ['b']);
});

test('a later session of the same id is another row', () => {
  const list = new rows.SessionRows();
  list.take([session('a', 1)], 0, nobody);
  list.take([session('a', 7)], 5, nobody);
  assert.deepEqual(list.shown(() => true).map(({ row, goneMs }) => [row.since_ms, goneMs]), [[1, 5], [7, null]]);
});

test('the figures of a list can be filtered', () => {
  const phone = { role: 'mobile', address: '192.0.2.14', name: 'Pixel 9', deviceId: 'd-1', behind: true, agent: 'okhttp/4.9' };
  const full = session('1f2e3d4c', 1, { roles: ['cli', 'mobile'], clients: [phone], devices: [{ deviceId: 'd-1', name: 'Pixel 9', platform: 'android' }], failed: 2 });
  const empty = session('00000000', 1, { roles: ['dashboard'] });
  for (const text of ['', '1F2E', '1f2e3d4c00aa', 'pixel', 'D-1', '192.0.2', 'okhttp', ' phone ']) assert.ok(rows.matchesText(full, text), text);
  for (const text of ['2e3d', 'iphone', '1f2e3d4dff']) assert.ok(!rows.matchesText(full, text), text);
  const passing = (row) => Object.keys(rows.FILTERS).filter((name) => rows.FILTERS[name].matches(row));
  assert.deepEqual(passing(full), ['all', 'trouble', 'failed', 'slow']);
  assert.deepEqual(passing(empty), ['all', 'no_phone', 'no_cli']);
  assert.equal(plain(rows.who(['mobile', 'cli', 'mobile'])), 'CLI · 2 phones');
  assert.equal(plain(close.clientsOf(full)), 'CLI · phone: Pixel 9 (Android)');
});

test('an id is found by its hash, in upper case too', async () => {
  const row = session('8c640c4e', 1);
  const hash = (await import('node:crypto')).createHash('sha256').update('ABC234').digest('hex');
  row.session = hash.slice(0, 8);
  const meaning = await finder.meaningOf(' abc234 ');
  assert.deepEqual(finder.identityOf(meaning, row), { hash, id: 'ABC234' });
  assert.ok(finder.isSought(meaning, row));
  assert.ok(meaning.asked.includes(hash.slice(0, 16)));
  assert.ok(!meaning.asked.some((asked) => asked.length > 16 || asked.includes('abc234')));
  assert.deepEqual(finder.saidOf(meaning, [{ row }]), { text: `ABC234 is the session ${row.session}.`, id: 'ABC234' });
  const missing = finder.saidOf(meaning, []);
  assert.ok(missing.text.includes(row.session) && missing.id === 'ABC234');
  const other = await finder.meaningOf('192.0.2.7');
  assert.deepEqual([other.ids.size, other.asked], [0, []]);
  assert.equal(finder.saidOf(other, []).id, null);
  assert.deepEqual((await finder.meaningOf('1F2E3D4C00AABBCCDDEE')).asked.at(-1), '1f2e3d4c00aabbcc');
  assert.equal(finder.saidOf(finder.NOTHING, []).text, '');
});

test('what became of a bundle', () => {
  const phone = (state, more) => ({ name: 'Pixel 9', deviceId: 'd-1', state, error: null, why: null, ...more });
  const said = (bundle) => { const { level, text } = words.outcomeOf({ state: 'whole', why: null, settled: true, ...bundle }); return `${level}: ${plain(text)}`; };
  assert.equal(said({ phones: [phone('acknowledged')] }), 'info: acknowledged by Pixel 9');
  assert.equal(said({ phones: [phone('acknowledged'), phone('acknowledged')] }), 'info: acknowledged by 2 phones');
  assert.equal(said({ phones: [phone('acknowledged'), phone('left')] }), 'notice: acknowledged by 1 of 2 phones, no more was heard');
  assert.equal(said({ phones: [phone('waiting')], settled: false }), 'info: acknowledged by 0 of 1 phone, under way');
  assert.equal(said({ phones: [] }), 'notice: no phone was there');
  assert.equal(said({ phones: [], state: 'arriving' }), 'info: arriving');
  const cut = { phones: [phone('cut', { why: 'its sender left' })], state: 'cut', why: 'its sender left' };
  assert.equal(said(cut), 'warning: cut short: its sender left');
  assert.deepEqual(words.outcomeOf(cut).lines, []);
  const failed = { phones: [phone('failed', { error: 'SyntaxError: }' }), phone('superseded', { name: null })] };
  assert.equal(said(failed), 'warning: failed on Pixel 9');
  assert.deepEqual(words.outcomeOf({ ...failed, state: 'whole' }).lines, ['Pixel 9: SyntaxError: }', 'd-1: got a newer one instead']);
});

test('events, the newest first', () => {
  const some = [{ id: 1, at_ms: 9 }, { id: 3, at_ms: 5 }, { id: 2, at_ms: 5 }];
  assert.deepEqual(events.eventsOf({ events: some }).map(({ id }) => id), [1, 3, 2]);
  assert.deepEqual(events.eventsOf({}), []);
});
