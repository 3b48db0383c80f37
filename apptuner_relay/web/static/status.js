// The status page: shows each status that arrives.

import { $, setText } from './dom.js';
import { showEvents } from './event_list.js';
import { showFigures } from './figures.js';
import { clock, counted, duration } from './format.js';
import { showHealth } from './health.js';
import { follow } from './live.js';
import { showManaged } from './managed.js';
import { showNeeds, verdict } from './needs.js';
import { showCluster } from './nodes.js';
import { Past } from './past.js';
import { Sessions } from './sessions.js';

const past = new Past();
const sessions = new Sessions();
let shownRelease = null;
let shownMs = 0;

follow({
  onStatus: show,
  onLost: (why) => {
    document.body.dataset.link = 'lost';
    const since = shownMs ? ` The figures are from ${clock(shownMs, true)}.` : '';
    $('lost').hidden = false;
    setText($('lost'), `${why}${since} Trying again…`);
    setText($('state'), 'Not connected');
  },
  // It shows the sign-in form then.
  onRefused: () => location.reload(),
});

$('sign-out').addEventListener('click', async () => {
  await fetch('api/logout', { method: 'POST' }).catch(() => null);
  location.reload();
});
// Only a browser that signed in can sign out: without a token there is nothing to sign out of.
fetch('api/login', { cache: 'no-store' }).then(async (answer) => {
  $('sign-out').hidden = !(answer.ok && (await answer.json()).signed_in);
}).catch(() => null);
setText($('zone'), `Times are in ${Intl.DateTimeFormat().resolvedOptions().timeZone}, days in UTC.`);

function show(status) {
  const release = status.commit ? `${status.version} (${status.commit})` : status.version;
  if (shownRelease !== null && shownRelease !== release) location.reload();
  shownRelease = release;
  shownMs = Date.now();
  document.body.dataset.link = 'live';
  $('lost').hidden = true;
  showTop(status);
  showNeeds(status);
  showFigures(status);
  showHealth(status);
  showCluster(status);
  showManaged(status);
  past.update(status);
  sessions.update(status);
  showEvents(status, (hash) => sessions.find(hash));
}

function showTop(status) {
  setText($('node'), status.node);
  setText($('version'), `version ${shownRelease}`);
  setText($('uptime'), `up ${duration(status.uptime_s)}`);
  $('uptime').title = `since ${new Date(status.started_ms).toLocaleString()}`;
  setText($('updated'), `Updated ${clock(shownMs, true)}.`);
  const [state, text] = verdict(status);
  $('state').dataset.state = state;
  setText($('state'), text);
  document.title = `${state === 'ok' ? '' : '▲ '}${counted(status.sessions, 'session')} · AppTuner Relay`;
}
