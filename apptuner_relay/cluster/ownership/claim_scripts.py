"""The scripts with which Redis keeps claims. Lua. Each is atomic. As in `scripts`, replies are
status lines.

Beside the keys of `scripts`, Redis holds:

- ``claim:{session hash}``: ``proof tokens``. Lives the time to live after its last use. Nobody gets
  in with a proof (`access.tokens`).
- ``claims``: a random word, the generation of the claims that are there.
- ``claims:settling``: there while claims are being put back. Lives the grace time.
- ``claims:late``: there while relays may still come that have not put theirs back after a loss.
  Lives the time of a provisional claim.
- ``provisional:{session hash}``: the claim is provisional. Lives as long as it is.
- ``released:{session hash}``: the proof of a claim that an operator has released. Lives the time to
  live of a claim.

**A Redis that has lost its data has no generation.** The first relay that finds none writes a new
one, and publishes ``emptied``: each relay puts back the claims that it knows. Until the grace time
is over no relay is told that a session has no claim, and none makes one. ``LOOK``,
``TAKE`` and ``PUT_BACK`` are given the generation into which the relay has put its claims back, and
reply ``emptied`` when there is another one.

**Of two claims that are put back for one session within the grace time, the one that was used last
stays.** After it, the first one does, unless it is provisional.

**A claim is provisional for a while if it was made without asking all relays**: soon after the data
was lost, as a relay may come back late, or by a relay that did not reach Redis. It yields to one
that is put back and is not provisional, and who shows another secret is told to come again instead
of no. It is put back as a provisional one.

**A claim that an operator has released does not come back by itself.** ``PUT_BACK`` leaves it out,
and a relay that renews it, for clients that are connected, is told ``released``. All relays hear
``released`` on the channel of news, and forget it. A client that joins with the same secret claims
the session anew, as any other.

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
local function mark_of(session) return prefix .. 'provisional:' .. session end
local function doubt_ms(session) return math.max(0, redis.call('PTTL', mark_of(session))) end
local function released_of(session) return prefix .. 'released:' .. session end
local function was_released(session, proof)
  return redis.call('GET', released_of(session)) == proof
end
local function release(session, proof, ttl_ms)
  redis.call('DEL', mark_of(session))
  redis.call('SET', released_of(session), proof, 'PX', ttl_ms)
  redis.call('PUBLISH', prefix .. 'news', 'released ' .. session)
end
local function is_other() return redis.call('GET', prefix .. 'claims') ~= generation end
local function settling_ms() return redis.call('PTTL', prefix .. 'claims:settling') end
"""

ENTER = (
    _PRELUDE
    + """
local grace_ms, provisional_ms, before = ARGV[3], ARGV[4], ARGV[5]
local there = redis.call('GET', prefix .. 'claims')
if not there then
  redis.call('SET', prefix .. 'claims:settling', 1, 'PX', grace_ms)
  redis.call('PUBLISH', prefix .. 'news', 'emptied')
end
if before ~= '' and before ~= there then
  redis.call('SET', prefix .. 'claims:late', 1, 'PX', provisional_ms)
end
redis.call('SET', prefix .. 'claims', there or generation)
return status(there or generation)
"""
)
"""grace ms, the time of a provisional claim in ms, the generation that the relay knows or an empty
text → the generation. The second argument is a new one, which is written where there is
none. The script writes in any case, so that a server that takes no writes refuses it."""

LOOK = (
    _PRELUDE
    + """
if is_other() then return status('emptied') end
local session = ARGV[3]
local proof, tokens = read(session)
if proof then
  local left_ms = redis.call('PTTL', key_of(session))
  return status(string.format('%s %s %d %d', proof, tokens, left_ms, doubt_ms(session)))
end
local wait_ms = settling_ms()
return status(wait_ms > 0 and string.format('settling %d', wait_ms) or 'none')
"""
)
"""session → ``proof tokens ms ms``, with the milliseconds for which the claim is kept, and those
for which it is provisional, which may be 0; ``none``;
``settling ms``; or ``emptied``."""

TAKE = (
    _PRELUDE
    + """
if is_other() then return status('emptied') end
local session, ttl_ms, tentative_ms = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local proof, tokens, provisional_ms = ARGV[6], ARGV[7], tonumber(ARGV[8])
local renews = ARGV[9] == '1'
local found, had = read(session)
if found and found ~= proof then
  local left_ms = redis.call('PTTL', key_of(session))
  return status(string.format('%s %s %d %d', found, had, left_ms, doubt_ms(session)))
end
local live_ms = ttl_ms
if not found then
  if was_released(session, proof) then
    if renews then return status('released') end
    redis.call('DEL', released_of(session))
  end
  local wait_ms = settling_ms()
  if wait_ms > 0 then return status(string.format('settling %d', wait_ms)) end
  if tentative_ms > 0 then live_ms = tentative_ms end
  local late_ms = math.max(provisional_ms, redis.call('PTTL', prefix .. 'claims:late'))
  redis.call('DEL', mark_of(session))
  if late_ms > 0 then redis.call('SET', mark_of(session), 1, 'PX', late_ms) end
elseif tentative_ms > 0 then
  live_ms = math.max(tentative_ms, redis.call('PTTL', key_of(session)))
end
keep(session, proof, tokens, live_ms)
return status(string.format('%s %s %d %d', proof, tokens, live_ms, doubt_ms(session)))
"""
)
"""session, ttl ms, the ttl of a new claim that is tentative in ms or 0, proof, tokens, for how many
ms a new claim is provisional at least or 0, 1 to renew a claim that was made before → the claim
that counts from now on, as ``LOOK`` replies it; ``settling ms``; ``released``; or ``emptied``."""

GIVE_BACK = (
    _PRELUDE
    + """
local session, tentative_ms, proof = ARGV[3], tonumber(ARGV[4]), ARGV[5]
if read(session) == proof and redis.call('PTTL', key_of(session)) <= tentative_ms then
  redis.call('DEL', key_of(session), mark_of(session))
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
for i = 3, #ARGV, 5 do
  local session, proof, tokens, left_ms = ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3])
  local provisional_ms = tonumber(ARGV[i + 4])
  local found = read(session)
  local found_ms = found and redis.call('PTTL', key_of(session)) or 0
  local is_firm = provisional_ms == 0
  local yields = is_firm and found and found ~= proof and doubt_ms(session) > 0
  local may_replace = not found or found == proof or (is_firm and is_settling)
  if not was_released(session, proof) then
    if yields or (may_replace and found_ms < left_ms) then keep(session, proof, tokens, left_ms) end
    if is_firm and (yields or not found or found == proof) then
      redis.call('DEL', mark_of(session))
    elseif not found then
      redis.call('SET', mark_of(session), 1, 'PX', provisional_ms)
    end
  end
end
return status('done')
"""
)
"""(session, proof, tokens, ms for which it is kept, ms for which it is provisional or 0)… →
``done`` or ``emptied``."""

LIST = (
    _PRELUDE
    + """
if is_other() then return status('emptied') end
local cursor, wanted, count = ARGV[3], ARGV[4], ARGV[5]
local start = prefix .. 'claim:'
local found = redis.call('SCAN', cursor, 'MATCH', start .. wanted .. '*', 'COUNT', count)
local words = {found[1]}
for _, key in ipairs(found[2]) do
  local session = string.sub(key, #start + 1)
  local proof, tokens = read(session)
  if proof then
    local left_ms = redis.call('PTTL', key)
    words[#words + 1] = string.format('%s %s %s %d', session, proof, tokens, left_ms)
  end
end
return status(table.concat(words, ','))
"""
)
"""cursor, the first digits of the sessions or an empty text, how many keys to look at → the next
cursor, 0 at the end, and ``session proof tokens ms`` of each claim, with commas between; or
``emptied``. A claim may be listed more than once."""

RELEASE = (
    _PRELUDE
    + """
if is_other() then return status('emptied') end
local session, ttl_ms = ARGV[3], ARGV[4]
local wait_ms = settling_ms()
if wait_ms > 0 then return status(string.format('settling %d', wait_ms)) end
local found = read(session)
if not found then return status('none') end
redis.call('DEL', key_of(session))
release(session, found, ttl_ms)
return status('done')
"""
)
"""session, the ttl of a claim in ms → ``done``; ``none`` where it has no claim; ``settling ms``; or
``emptied``."""

IMPORT = (
    _PRELUDE
    + """
if is_other() then return status('emptied') end
local wait_ms = settling_ms()
if wait_ms > 0 then return status(string.format('settling %d', wait_ms)) end
local ttl_ms, replaces = ARGV[3], ARGV[4] == '1'
local words = {}
for i = 5, #ARGV, 4 do
  local session, proof, tokens, left_ms = ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3])
  local found, had = read(session)
  local word
  if found == proof then
    word = 'known'
    keep(session, proof, had, math.max(left_ms, redis.call('PTTL', key_of(session))))
  elseif found and not replaces then
    word = 'conflicting'
  else
    word = found and 'replaced' or 'added'
    if found then release(session, found, ttl_ms) end
    if was_released(session, proof) then redis.call('DEL', released_of(session)) end
    redis.call('DEL', mark_of(session))
    keep(session, proof, tokens, left_ms)
  end
  words[#words + 1] = word
end
return status(table.concat(words, ' '))
"""
)
"""the ttl of a claim in ms, 1 to replace other claims or 0, (session, proof, tokens, ms for which
it is kept)… → of each, with spaces between, ``added``, ``known``, ``conflicting`` or ``replaced``;
``settling ms``; or ``emptied``."""
