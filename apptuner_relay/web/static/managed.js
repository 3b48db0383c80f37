// The managed WebSocket service, whose channels are one more way into sessions.

import { count, counted, duration, joined, milliseconds } from './format.js';
import { $, setMetric, setText } from './dom.js';

/** `status.managed` is null for a relay without one: then there is nothing to see. */
export function showManaged({ managed }) {
  $('managed').hidden = !managed;
  if (!managed) return;
  setMetric($('managed-state'), [managed.state === 'away' ? 'unreachable' : managed.state]);
  $('managed-state').toggleAttribute('data-unreachable', managed.state !== 'up');
  setText($('managed-note'), said(managed));
  setMetric($('managed-members'), [count(managed.members)]);
  setText($('managed-members-note'), `in ${counted(managed.channels, 'channel')}`);
  setMetric($('managed-billed'), [count(managed.published + managed.deliveries)]);
  setText($('managed-billed-note'), `${counted(managed.published, 'event')}, and their deliveries`);
  setMetric($('managed-dropped'), [count(managed.dropped)]);
  setText($('managed-dropped-note'), `${counted(managed.refused, 'refusal')}`);
}

function said({ state, refusal, away_s: awayS, round_trip_ms: roundTripMs }) {
  if (refusal) return `${refusal.code}: ${refusal.text}`;
  if (state === 'away') return `for ${duration(awayS)}`;
  return roundTripMs === null ? '' : `answers in ${joined(milliseconds(roundTripMs))}`;
}
