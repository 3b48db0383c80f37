"""The scripts that Redis runs: each is atomic, and together they are the rules of ownership. Lua.

Redis (5 or later, not Redis Cluster: a script touches several keys) holds, under a prefix:

- ``session:{hash}``: ``epoch node run``; ``epoch`` alone when nobody has it. Lives ``keep``.
- ``node:{id}``: a hash, what a node says of itself. Lives the lease time after its last beat.
- ``nodes``: the nodes' ids, sorted by when each is gone unless it beats again.
- ``pulse``: there while any node has beaten within the lease time.
- ``settling``: there while no session may get a new owner. Lives the grace time.

**A lease lives while its node does.** It names the node and its run (a process, once), and counts
only while ``node:{id}`` is there with that run. So one beat renews all leases of a node however
many, and those of a dead node all end at once, without anybody removing them: the next claim takes
what it finds. What nobody uses expires by itself after ``keep``, which each beat renews for a few
of the node's leases in turn; until then it remembers the epoch.

**A silence of all nodes is the server's.** After it was down, frozen or emptied, living nodes look
dead, and their leases may be missing. So when a beat finds no pulse, sessions get no new owner
until the nodes had time to come back and write theirs again (``settling``).

**What a silence of all nodes may mean is told to all** (``emptied``): each beats at once, and so
writes its leases again before the grace time is over. After ``FLUSHALL`` they are heard all the
time, and would come too late otherwise.

**A single key may be lost as well**, where Redis evicts keys or somebody deletes them. A beat finds
it, as it asks for all of the node's leases; and as who claims a session of which nothing is written
tells all nodes so, its owner, if there is one, writes its lease again at once.

**A node whose process has ended needs no lease time.** Its kernel closes its connections at once,
so that nobody receives what is published to it. Who was refused a connection by it looks for that
twice (``SUSPECT``), and then ends its heartbeat, and with that all of its leases. Silence proves
something only while the node that asks is itself subscribed, and has asked of the same run, which
has not beaten in between. A node that is frozen, busy, or cut off without a word stays subscribed,
and keeps its leases for the lease time.

**Of two owners the higher epoch stays**, and of equal ones whoever is written down. That
happens only if a server lost data, and a node comes back after the grace time.

Publish/subscribe carries what `apptuner_relay.cluster.ownership.pubsub` reads, on ``all``,
``to:{node}`` and ``on:{hash}``, the last for nodes that asked for a session of another's; and on
``news``, beside ``all`` so that relays of version 0.1.0 hear nothing that they don't understand.

Every script takes the same four arguments first: prefix, node, run, and ``keep`` in milliseconds.
Replies are status lines, which txredisapi's parser takes without a turn of the reactor for each.
"""

_PRELUDE = """
local prefix, me, my_run, keep_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local function status(text) return redis.status_reply(text) end
local function key_of(session) return prefix .. 'session:' .. session end
local function owner_of(session)
  local value = redis.call('GET', key_of(session))
  if not value then return 0 end
  local epoch, node, run = string.match(value, '^(%d+) (%S+) (%S+)$')
  if epoch then return tonumber(epoch), node, run end
  return tonumber(string.match(value, '^%d+$')) or 0
end
local function address_of(node, run)
  if not node then return false end
  local found = redis.call('HMGET', prefix .. 'node:' .. node, 'run', 'address')
  return found[1] == run and found[2]
end
local function tell(session, old)
  local text = 'moved ' .. session .. ' ' .. me
  redis.call('PUBLISH', prefix .. 'on:' .. session, text)
  if old and old ~= me then redis.call('PUBLISH', prefix .. 'to:' .. old, text) end
end
local function keep(session, text)
  redis.call('SET', key_of(session), text, 'PX', keep_ms)
end
local function missing(first, reply)
  local keys = {}
  for i = first, #ARGV do keys[#keys + 1] = key_of(ARGV[i]) end
  if #keys == 0 or redis.call('EXISTS', unpack(keys)) == #keys then return end
  for i = first, #ARGV do
    if redis.call('EXISTS', key_of(ARGV[i])) == 0 then table.insert(reply, status(ARGV[i])) end
  end
end
local function take(session, epoch)
  keep(session, string.format('%d %s %s', epoch, me, my_run))
end
local function list_nodes(reply)
  for _, node in ipairs(redis.call('ZRANGE', prefix .. 'nodes', 0, -1)) do
    local found = redis.call('HMGET', prefix .. 'node:' .. node, 'address', 'sessions',
      'connections', 'since_ms', 'draining', 'version')
    if found[1] then table.insert(reply, status(node .. ' ' .. table.concat(found, ' '))) end
  end
end
"""

CLAIM = (
    _PRELUDE
    + """
local session, draining = ARGV[5], ARGV[6] == '1'
local epoch, node, run = owner_of(session)
if not (node == me and run == my_run) then
  local address = address_of(node, run)
  if address then return status(string.format('other %d %s %s', epoch, node, address)) end
  if draining then return status('draining') end
end
if not address_of(me, my_run) then return status('unregistered') end
if node == me and run == my_run then return status(string.format('mine %d', epoch)) end
local settling_ms = redis.call('PTTL', prefix .. 'settling')
if settling_ms > 0 then return status(string.format('settling %d', settling_ms)) end
take(session, epoch + 1)
tell(session, node)
if epoch == 0 then redis.call('PUBLISH', prefix .. 'news', 'begun ' .. session .. ' ' .. me) end
return status(string.format('mine %d', epoch + 1))
"""
)
"""session, draining → ``mine epoch``, ``other epoch node address``, ``settling ms``, ``draining``,
or ``unregistered``: this node has to beat first."""

TAKE_OVER = (
    _PRELUDE
    + """
local session, from, held = ARGV[5], ARGV[6], tonumber(ARGV[7])
local epoch, node, run = owner_of(session)
if node == me and run == my_run then return status(string.format('mine %d', epoch)) end
local address = address_of(node, run)
if not (node == from and epoch == held and address) then
  if address then return status(string.format('other %d %s %s', epoch, node, address)) end
  return status('nobody')
end
if not address_of(me, my_run) then return status('unregistered') end
take(session, epoch + 1)
tell(session)
return status(string.format('mine %d', epoch + 1))
"""
)
"""session, its owner, the epoch of that one's lease → ``mine epoch``, ``other epoch node address``,
``nobody``, or ``unregistered``. The owner has asked for it, and isn't told."""

RELEASE = (
    _PRELUDE
    + """
local released = 0
for i = 5, #ARGV do
  local epoch, node, run = owner_of(ARGV[i])
  if node == me and run == my_run then
    keep(ARGV[i], string.format('%d', epoch))
    tell(ARGV[i])
    released = released + 1
  end
end
return released
"""
)
"""session… → how many were this node's."""

BEAT = (
    _PRELUDE
    + """
local lease_ms, grace_ms, first, draining = ARGV[5], ARGV[6], ARGV[7] == '1', ARGV[8]
local mine = prefix .. 'node:' .. me
local before = redis.call('HMGET', mine, 'run', 'draining')
if before[1] and before[1] ~= my_run and not first then return {status('replaced')} end
if redis.call('EXISTS', prefix .. 'pulse') == 0 then
  redis.call('SET', prefix .. 'settling', 1, 'PX', grace_ms)
  redis.call('PUBLISH', prefix .. 'news', 'emptied')
end
redis.call('SET', prefix .. 'pulse', 1, 'PX', lease_ms)
redis.call('HSET', mine, 'run', my_run, 'draining', draining, 'address', ARGV[9],
  'sessions', ARGV[10], 'connections', ARGV[11], 'since_ms', ARGV[12], 'version', ARGV[13])
redis.call('PEXPIRE', mine, lease_ms)
if draining == '1' and not (before[1] == my_run and before[2] == '1') then
  redis.call('PUBLISH', prefix .. 'all', 'drained ' .. me)
end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', prefix .. 'nodes', string.format('%d', now_ms + lease_ms), me)
redis.call('ZREMRANGEBYSCORE', prefix .. 'nodes', '-inf', string.format('(%d', now_ms))
local reply = {status(before[1] == my_run and 'kept' or 'new')}
if ARGV[14] == '1' then list_nodes(reply) end
local due = 15 + tonumber(ARGV[15])
for i = 16, due do
  local epoch, node, run = owner_of(ARGV[i])
  if node == me and run == my_run then
    redis.call('PEXPIRE', key_of(ARGV[i]), keep_ms)
  else
    table.insert(reply, status(ARGV[i]))
  end
end
missing(due + 1, reply)
return reply
"""
)
"""lease ms, grace ms, first, draining, address, sessions, connections, since ms, version, whether
to list the nodes, count, so many sessions to renew, sessions to look for… → ``kept``, or ``new``
(there was no heartbeat: all leases must be restored), or ``replaced``: another process has this
node's id. Behind it the nodes, as in ``NODES``, and those of the sessions that are not this node's,
or of which nothing is written."""

LOOK_FOR = (
    _PRELUDE
    + """
local reply = {}
missing(5, reply)
return reply
"""
)
"""session… → those of which nothing is written."""

RESTORE = (
    _PRELUDE
    + """
local reply = {}
for i = 5, #ARGV, 2 do
  local session, held = ARGV[i], tonumber(ARGV[i + 1])
  local epoch, node, run = owner_of(session)
  local said = string.format('mine %d', math.max(epoch, held))
  if node == me and run == my_run and epoch >= held then
    redis.call('PEXPIRE', key_of(session), keep_ms)
  else
    local address = address_of(node, run)
    if epoch > held or (epoch == held and (address or not node)) then
      said = address and string.format('other %d %s %s', epoch, node, address) or 'nobody'
    else
      take(session, held)
      tell(session, node)
    end
  end
  table.insert(reply, status(said))
end
return reply
"""
)
"""(session, epoch)… as this node holds them → for each ``mine epoch`` (written again where that was
needed), ``other epoch node address`` or ``nobody``."""

LOOK = (
    _PRELUDE
    + """
local reply = {}
local settling_ms = redis.call('PTTL', prefix .. 'settling')
if redis.call('EXISTS', prefix .. 'pulse') == 0 then settling_ms = tonumber(ARGV[5]) end
local nobody = settling_ms > 0 and string.format('settling %d', settling_ms) or 'nobody'
for i = 6, #ARGV do
  local epoch, node, run = owner_of(ARGV[i])
  local address = address_of(node, run)
  local said = address and string.format('other %d %s %s', epoch, node, address) or nobody
  table.insert(reply, status(said))
end
return reply
"""
)
"""grace ms, session… → for each ``other epoch node address``, ``nobody``, or ``settling ms``: it
may be somebody's who has not written it again yet."""

KICK = (
    _PRELUDE
    + """
local session, text = ARGV[5], ARGV[6]
local epoch, node, run = owner_of(session)
redis.call('PUBLISH', prefix .. 'on:' .. session, text)
if address_of(node, run) then redis.call('PUBLISH', prefix .. 'to:' .. node, text) end
return status('told')
"""
)
"""session, notice → told to whoever has to do with the session."""

NODES = (
    _PRELUDE
    + """
local reply = {}
list_nodes(reply)
return reply
"""
)
"""→ for each living node ``id address sessions connections since_ms draining version``."""

SUSPECT = (
    _PRELUDE
    + """
local node, address, run, left_ms = ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8])
local its = prefix .. 'node:' .. node
local found = redis.call('HMGET', its, 'run', 'address')
if not found[1] then return status('ended') end
local text = 'moved ' .. string.rep('0', 64) .. ' ' .. me
local function hears(one) return redis.call('PUBLISH', prefix .. 'to:' .. one, text) > 0 end
if not hears(me) then return status('unknown') end
if found[2] ~= address or hears(node) then return status('lives') end
local now_ms = redis.call('PTTL', its)
if run == '' then return status(string.format('silent %s %d', found[1], now_ms)) end
if found[1] ~= run or now_ms > left_ms then return status('lives') end
redis.call('DEL', its)
redis.call('ZREM', prefix .. 'nodes', node)
return status('ended')
"""
)
"""node, address, run, ms → ``lives``; ``unknown``, as this node isn't subscribed itself; ``silent
run ms``, with what is left of the heartbeat's time; or ``ended``. At first the run is empty. The
second time it is the one of the first reply, with its ms: a node that is still silent ends. What is
published is about no session, so that every version reads it and does nothing."""

LEAVE = (
    _PRELUDE
    + """
local mine = prefix .. 'node:' .. me
if redis.call('HGET', mine, 'run') == my_run then
  redis.call('DEL', mine)
  redis.call('ZREM', prefix .. 'nodes', me)
end
return status('left')
"""
)
"""→ this node's heartbeat, and with it all of its leases, ends."""
