// The relays that share sessions with this one, and the Redis through which they do.

import { count, counted, duration } from './format.js';
import { $, make, setMetric, setRows, setText } from './dom.js';

const LABELS = ['Address', 'Sessions', 'Connections', 'Version', 'Up for'];

/** `status.cluster` is null for a relay that is alone: then there is nothing to see. */
export function showCluster({ cluster, connections, node: own }) {
  $('cluster').hidden = !cluster;
  if (!cluster) return;
  const { nodes, node_count: nodeCount, bridged, redis } = cluster;
  const clients = Object.values(connections).reduce((a, b) => a + b, 0);
  const draining = nodes.filter((node) => node.draining).length;
  setMetric($('relays'), [count(nodeCount)]);
  setText($('relays-note'), draining ? `${count(draining)} draining` : '');
  setMetric($('bridged'), [count(bridged)]);
  setText($('bridged-note'), share(bridged, clients));
  setMetric($('inbound'), [count(cluster.visitors)]);
  const isUnreachable = redis !== 'connected';
  setMetric($('redis'), [redis === 'away' ? 'unreachable' : redis]);
  $('redis').toggleAttribute('data-unreachable', isUnreachable);
  setText($('redis-note'), isUnreachable ? `for ${duration(cluster.redis_away_s)}` : 'knows the owner of each session');
  showNodes(nodes, own);
  const more = nodeCount - nodes.length;
  $('more-nodes').hidden = !more;
  setText($('more-nodes'), more ? `and ${count(more)} more` : '');
}

function share(part, whole) {
  if (!whole) return 'nobody is connected';
  const percent = (100 * part) / whole;
  const text = part && percent < 1 ? 'under 1' : Math.round(percent);
  return `${text}% of ${counted(whole, 'client')} here`;
}

function showNodes(nodes, own) {
  $('node-table').hidden = !nodes.length;
  setRows($('node-rows'), nodes, (node) => node.node, create, (row, node) => {
    const [name, ...cells] = row.cells;
    const tag = name.lastChild;
    const said = [node.node === own && 'this one', node.draining && 'draining'].filter(Boolean);
    tag.hidden = !said.length;
    tag.toggleAttribute('data-draining', node.draining);
    setText(tag, said.join(', '));
    const texts = [node.address, count(node.sessions), count(node.connections), node.version,
      duration(node.uptime_s)];
    texts.forEach((text, i) => setText(cells[i].firstChild, text));
  });
}

const create = ({ node }) => make('tr', {},
  make('th', { scope: 'row' }, node, ' ', make('span', { class: 'tag' })),
  ...LABELS.map((label) => make('td', { 'data-label': label }, make('span'))));
