// The four large figures: sessions, bundles, sending, reload time.

import { roleOf } from './client_words.js';
import { $, setMetric, setText } from './dom.js';
import { count, counted, joined, rate, seconds, traffic, UNKNOWN } from './format.js';

const ROLES = ['mobile', 'cli', 'dashboard', 'desktop', 'upload'];

export function showFigures({ sessions, connections = {}, total, last_minute: minute = {}, today, reload }) {
  const clients = Object.values(connections).reduce((a, b) => a + b, 0);
  setMetric($('sessions'), [count(sessions)]);
  setText($('sessions-note'), today ? `at most ${count(today.peak_sessions)} today` : '');
  setText($('clients-note'), clients ? `${counted(clients, 'client')}: ${roles(connections)}` : 'nobody is connected');
  setMetric($('bundles'), [count(today?.bundles)]);
  setText($('bundles-note'), `${count(minute.bundles)} in the last minute`);
  setText($('bundles-size'), today?.bundles
    ? `${joined(traffic(today.bundle_bytes))} in, ${joined(traffic(today.bundle_bytes / today.bundles))} each` : '');
  setMetric($('sending'), rate(minute.bytes_out / 60));
  setText($('sending-note'), `${joined(traffic(minute.bytes_out))} in the last minute`);
  setText($('sending-today'), `${joined(traffic(today?.bytes_out))} today, ${joined(traffic(total?.bytes_out))} since start`);
  showReload(reload);
}

/** `reload` is null for a relay that does not measure it. */
function showReload(reload) {
  setMetric($('reload'), seconds(reload?.median_s));
  $('reload-failed').toggleAttribute('data-bad', Boolean(reload?.failed));
  if (!reload) {
    setText($('reload-note'), 'this relay does not measure it');
    setText($('reload-failed'), '');
    return;
  }
  setText($('reload-note'), reload.count
    ? `95% within ${joined(seconds(reload.p95_s))}, of ${counted(reload.count, 'reload')}`
    : 'no bundle was acknowledged yet');
  setText($('reload-failed'), reload.failed
    ? `▲ ${counted(reload.failed, 'failure')} today` : reload.count ? 'no failures today' : '');
}

/** "118 phones, 71 CLIs", of the connections by role. */
export function roles(connections) {
  return ROLES.filter((role) => connections[role])
    .map((role) => counted(connections[role], roleOf(role))).join(', ') || UNKNOWN;
}
