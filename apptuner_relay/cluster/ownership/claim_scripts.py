"""The scripts with which Redis keeps claims. Lua. Each is atomic. As in `scripts`, replies are
status lines.

Beside the keys of `scripts`, Redis holds:

- ``claim:{session hash}``: ``proof tokens``. Lives the time to live after its last use. Nobody gets
  in with a proof (`access.tokens`).
- ``claims``: a random word, the generation of the claims that are there.
- ``claims:settling``: there while claims are being put back. Lives the grace time.

**A Redis that has lost its data has no generation.** The first relay that finds none writes a new
one, and publishes ``emptied``: each relay puts back the claims that it knows. Until the grace time
is over no relay is told that a session has no claim, and none makes one. ``LOOK``,
``TAKE`` and ``PUT_BACK`` are given the generation into which the relay has put its claims back, and
reply ``emptied`` when there is another one.

**Of two claims that are put back for one session within the grace time, the one that was used last
stays.** After it, the first one does.

The first two arguments of each are the prefix and the generation.
"""

_PRELUDE = """
local prefix, generation = ARGV[1], ARGV[2]
local function status(text) return redis.status_reply(text) end
local function key_of(session) return prefix .. 'claim:' .. session end
local function read(session)
  local value = redis.call('GET', key_of(session))
  if not value then return end
  local proof, tokens = string.match(value, '^(%S+) ([01])$')
  return proof, tokens
end
local function keep(session, proof, tokens, live_ms)
  redis.call('SET', key_of(session), proof .. ' ' .. tokens, 'PX', string.format('%d', live_ms))
end
local function is_other() return redis.call('GET', prefix .. 'claims') ~= generation end
local function settling_ms() return redis.call('PTTL', prefix .. 'claims:settling') end
"""

ENTER = (
    _PRELUDE
    + """
local grace_ms = ARGV[3]
local there = redis.call('GET', prefix .. 'claims')
if not there then
  redis.call('SET', prefix .. 'claims:settling', 1, 'PX', grace_ms)
  redis.call('PUBLISH', prefix .. 'news', 'emptied')
end
redis.call('SET', prefix .. 'claims', there or generation)
return status(there or generation)
"""
)
"""grace ms → the generation. The second argument is a new one, which is written where there is
none. The script writes in any case, so that a server that takes no writes refuses it."""

LOOK = (
    _PRELUDE
    + """
if is_other() then return status('emptied') end
local session = ARGV[3]
local proof, tokens = read(session)
if proof then
  return status(string.format('%s %s %d', proof, tokens, redis.call('PTTL', key_of(session))))
end
local wait_ms = settling_ms()
return status(wait_ms > 0 and string.format('settling %d', wait_ms) or 'none')
"""
)
"""session → ``proof tokens ms``, with the milliseconds for which the claim is kept; ``none``;
``settling ms``; or ``emptied``."""

TAKE = (
    _PRELUDE
    + """
if is_other() then return status('emptied') end
local session, ttl_ms, tentative_ms = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local proof, tokens = ARGV[6], ARGV[7]
local found, had = read(session)
if found and found ~= proof then
  return status(string.format('%s %s %d', found, had, redis.call('PTTL', key_of(session))))
end
local live_ms = ttl_ms
if not found then
  local wait_ms = settling_ms()
  if wait_ms > 0 then return status(string.format('settling %d', wait_ms)) end
  if tentative_ms > 0 then live_ms = tentative_ms end
elseif tentative_ms > 0 then
  live_ms = math.max(tentative_ms, redis.call('PTTL', key_of(session)))
end
keep(session, proof, tokens, live_ms)
return status(string.format('%s %s %d', proof, tokens, live_ms))
"""
)
"""session, ttl ms, the ttl of a new claim that is tentative in ms or 0, proof, tokens → the claim
that counts from now on, as ``LOOK`` replies it; ``settling ms``; or ``emptied``."""

GIVE_BACK = (
    _PRELUDE
    + """
local session, tentative_ms, proof = ARGV[3], tonumber(ARGV[4]), ARGV[5]
if read(session) == proof and redis.call('PTTL', key_of(session)) <= tentative_ms then
  redis.call('DEL', key_of(session))
end
return status('done')
"""
)
"""session, the ttl of a tentative claim in ms, proof → ``done``."""

PUT_BACK = (
    _PRELUDE
    + """
if is_other() then return status('emptied') end
local is_settling = settling_ms() > 0
for i = 3, #ARGV, 4 do
  local session, proof, tokens, left_ms = ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3])
  local found = read(session)
  local found_ms = found and redis.call('PTTL', key_of(session)) or 0
  if found_ms < left_ms and (not found or found == proof or is_settling) then
    keep(session, proof, tokens, left_ms)
  end
end
return status('done')
"""
)
"""(session, proof, tokens, ms for which it is kept)… → ``done`` or ``emptied``."""
