#!lua name=codeword_v3

-- All that happens to one key, or to the keys of one phone, in one step each. Times
-- are Unix microseconds, always the caller's; limits are in nanoseconds and count
-- from the caller's present, so that every figure is a whole number below 2^53.

local SLACK = 10 * 60 * 1000 -- ms that a key outlives its use: clocks differ
local LONGEST = 32 * 24 * 3600 * 1000 -- ms; a clock that ran ahead keeps nothing longer
local LIVE = 16 -- challenges of a phone
local EVENTS = 128 -- the largest window

-- The fence names the life of this primary: its process, and its time as primary.
-- What was written under another one may be older than what was acknowledged. A
-- process that was a replica meanwhile has a new replication id and tells the one
-- that it followed; an id that changed otherwise, since the first replica came or the
-- last one has long gone, begins no new life. It is asked for every 50 ms: nobody can
-- go to another primary and come back in less.
local run, life, seen, asked

local function field(info, name) return string.match(info, name .. ':(%x+)') or '' end

-- clock is the server's own, in microseconds, for how long something took.
local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

local function fence()
  local now = math.floor(clock() / 1000)
  if not asked or now < asked or now - asked >= 50 then
    run = run or string.sub(field(redis.call('INFO', 'server'), 'run_id'), 1, 16)
    local info = redis.call('INFO', 'replication')
    local id = field(info, 'master_replid')
    if not life or id ~= seen and string.find(field(info, 'master_replid2'), '[^0]') then
      life = string.sub(id, 1, 16)
    end
    seen, asked = id, now
  end
  return run .. life
end

local function int(n) return string.format('%.0f', n) end

-- ttl is how long, in ms, to keep what is of use until a time.
local function ttl(now, til)
  return int(math.max(1, math.min(math.ceil((til - now) / 1000), LONGEST)) + SLACK)
end

-- take is Bucket.Take of package guard. It returns the theoretical arrival time to
-- store, or false and the wait in nanoseconds.
local function take(now, stored, burst, every)
  if burst <= 0 or every <= 0 then return now end
  local ahead = math.max(0, math.min((stored - now) * 1000, burst * every))
  local tolerance = (burst - 1) * every
  if ahead > tolerance then return false, ahead - tolerance end
  return now + math.floor((ahead + every) / 1000)
end

-- live is Window.live of package guard: a log of milliseconds without what has left
-- the window, and with nothing from the future.
local function live(now, log, period)
  local out, n = {}, #log
  local latest = math.floor(now / 1000)
  local oldest = math.floor((now - math.ceil(period / 1000)) / 1000)
  local first = n + 1
  for i = n, math.max(1, n - EVENTS + 1), -1 do
    latest = math.min(latest, log[i])
    if latest <= oldest then break end
    out[i], first = latest, i
  end
  local packed = {}
  for i = first, n do packed[#packed + 1] = out[i] end
  return packed
end

-- admit is Window.Admit of package guard: the wait in nanoseconds, nil for none.
local function admit(now, log, max, period)
  if max <= 0 or period <= 0 then return nil end
  local kept = live(now, log, period)
  if #kept < max then return nil end
  return math.min((kept[#kept - max + 1] * 1000 - now) * 1000 + period, period)
end

-- record is Window.Record of package guard.
local function record(now, log, max, period)
  if max <= 0 or period <= 0 then return {} end
  local kept = live(now, log, period)
  while #kept + 1 > max do table.remove(kept, 1) end
  kept[#kept + 1] = math.floor(now / 1000)
  return kept
end

-- A phone is a table: c its challenges, oldest first, f their fence, s the sealed
-- number, u until when it is of use, o its user and v the devices that verified it, 16
-- bytes each. What has been used up of a lane's limits is a budget: b the burst limit's
-- arrival time, d and x the logs of sends and of failures, t the times of guesses that
-- are being judged. The phone itself is the budget of the open lane, m has the others
-- by name. A challenge is a table of the fields below. A phone that another version
-- wrote has no o, v and m, and one that it writes keeps them.
local ID, VERSION, DIGITS, CREATED, EXPIRES, BINDING, ATTEMPTS, PENDING, RETIRED = 1, 2, 3, 4, 5, 6, 7, 8, 9

local function load(key)
  local raw = redis.call('GET', key)
  if not raw then return nil end
  local p = cmsgpack.unpack(raw)
  local f = fence()
  if p.f ~= f then p.f, p.c = f, {} end
  p.o, p.v, p.m = p.o or '', p.v or '', p.m or {}
  return p
end

-- unknown is a phone that nothing is known of.
local function unknown()
  return { b = 0, d = {}, x = {}, t = {}, c = {}, f = fence(), u = 0, o = '', v = '', m = {} }
end

local ID_SIZE = 16

-- among is Devices.Has of package store.
local function among(devices, device)
  if device == '' then return false end
  for i = 1, #devices, ID_SIZE do
    if string.sub(devices, i, i + ID_SIZE - 1) == device then return true end
  end
  return false
end

-- lane names the one that a caller is in, and tells the challenges that are his, as
-- those of package intent do. A caller is a table of binding, user and device.
local function lane(p, who)
  local known = among(p.v, who.device)
  local bindings = {}
  if who.binding ~= '' then bindings[1] = who.binding end
  if known then bindings[#bindings + 1] = 'device\0' .. who.device end
  bindings[#bindings + 1] = ''
  if known or who.user ~= '' and who.user == p.o then return 'known', bindings end
  return who.binding ~= '' and 'bound' or 'open', bindings
end

-- budget is that of a lane.
local function budget(p, name)
  if name == 'open' then return p end
  p.m[name] = p.m[name] or { b = 0, d = {}, x = {}, t = {} }
  return p.m[name]
end

-- failures are those of a budget, with the guesses that may become some.
local function failures(l)
  if #l.t == 0 then return l.x end
  local all = {}
  for _, log in ipairs({ l.x, l.t }) do
    for _, at in ipairs(log) do all[#all + 1] = at end
  end
  table.sort(all)
  return all
end

local function save(key, p, now, til)
  p.u = math.max(p.u, til)
  redis.call('SET', key, cmsgpack.pack(p), 'PX', ttl(now, p.u))
end

local function find(p, test)
  for i, c in ipairs(p.c) do
    if test(c) then return c, i end
  end
end

local function bound(p, binding)
  return find(p, function(c) return c[BINDING] == binding and c[RETIRED] == 0 end)
end

local function prune(p, now)
  local out = {}
  for _, c in ipairs(p.c) do
    if c[EXPIRES] > now then out[#out + 1] = c end
  end
  p.c = out
end

-- full: all attempts are used up, or will be by guesses that are being judged.
local function full(c, max) return c[ATTEMPTS] + c[PENDING] >= max end

-- bounded makes room for one more of a kind; the oldest that is bound to a session
-- goes, or the oldest of all if none is.
local function bounded(p, retired)
  local n, oldest, oldestBound = 0, nil, nil
  for i, c in ipairs(p.c) do
    if c[RETIRED] == retired then
      n, oldest = n + 1, oldest or i
      if c[BINDING] ~= '' and string.sub(c[BINDING], 1, 7) ~= 'device\0' then oldestBound = oldestBound or i end
    end
  end
  if n >= LIVE then table.remove(p.c, oldestBound or oldest) end
end

-- put adds a challenge in place of the one that has its binding. Guesses at that one
-- may still be judged: it stays for them alone.
local function put(p, new)
  local old, at = bound(p, new[BINDING])
  if old then
    table.remove(p.c, at)
    if old[PENDING] > 0 then
      bounded(p, 1)
      old[RETIRED] = 1
      p.c[#p.c + 1] = old
    end
  end
  bounded(p, 0)
  p.c[#p.c + 1] = new
end

local function told(c)
  return { 'started', c[ID], int(c[VERSION]), int(c[DIGITS]), int(c[CREATED]), int(c[EXPIRES]), c[BINDING], int(c[ATTEMPTS]) }
end

-- numbers reads arguments from..to.
local function numbers(args, from, to)
  local out = {}
  for i = from, to do out[#out + 1] = tonumber(args[i]) end
  return unpack(out)
end

-- charge takes one event from a limit: {1, arrival time, the one before, the clock} or {0, wait}.
local function charge(keys, args)
  local now, burst, every = numbers(args, 1, 3)
  local stored = tonumber(redis.call('GET', keys[1]) or 0)
  local tat, wait = take(now, stored, burst, every)
  if not tat then return { 0, wait } end
  redis.call('SET', keys[1], int(tat), 'PX', ttl(now, tat))
  return { 1, tat, stored, clock() }
end

-- give undoes a charge: wholly when nothing came between, else as far as time has not
-- done so. Of the event that ends at its arrival time that is what is still to come.
local function give(keys, args)
  local now, tat, before, every, at = numbers(args, 1, 5)
  now = now + math.max(0, clock() - at)
  local stored = tonumber(redis.call('GET', keys[1]) or 0)
  local back = before
  if stored ~= tat then back = stored - math.max(0, math.min(math.floor(every / 1000), tat - now)) end
  if back <= 0 or stored == 0 then
    redis.call('DEL', keys[1])
  else
    redis.call('SET', keys[1], int(back), 'PX', ttl(now, back))
  end
  return 1
end

-- reserve notes who uses an idempotency key: 1, or 0 when it was used with another
-- body. A reservation stays unless everybody who made it released it.
local function reserve(keys, args)
  local now, expires = numbers(args, 1, 2)
  local raw = redis.call('GET', keys[1])
  local r = raw and cmsgpack.unpack(raw)
  if not r or r[2] <= now then r = { args[3], expires, 0 } end
  if r[1] ~= args[3] then return 0 end
  r[2], r[3] = math.max(r[2], expires), r[3] + 1
  redis.call('SET', keys[1], cmsgpack.pack(r), 'PX', ttl(now, r[2]))
  return 1
end

local function release(keys, args)
  local raw = redis.call('GET', keys[1])
  local r = raw and cmsgpack.unpack(raw)
  if not r or r[1] ~= args[1] then return 0 end
  r[3] = r[3] - 1
  if r[3] <= 0 then return redis.call('DEL', keys[1]) end
  redis.call('SET', keys[1], cmsgpack.pack(r), 'KEEPTTL')
  return 0
end

-- refused picks the refusal of a lane's limits with the longest wait.
local function refused(l, now, limits)
  local name, wait = nil, 0
  local tat, ahead = take(now, l.b, limits.burst, limits.every)
  if not tat then name, wait = 'burst', ahead end
  local day = admit(now, l.d, limits.sends, limits.day)
  if day and (not name or day > wait) then name, wait = 'day', day end
  local misses = admit(now, failures(l), limits.misses, limits.period)
  if misses and (not name or misses > wait) then name, wait = 'failures', misses end
  return tat, name, wait
end

-- enqueue logs the message of a send for the ledger.
local function enqueue(stream, now, c, args)
  redis.call('XADD', stream, '*',
    'c', args[14], 'p', args[15], 's', args[16], 'm', args[17], 'l', args[18], 'h', c[ID], 'v', int(c[VERSION]),
    'd', int(c[DIGITS]), 't', int(now), 'e', int(c[EXPIRES]))
  redis.call('PEXPIRE', stream, int(LONGEST))
end

-- start passes the limits of the caller's lane, joins or starts a challenge and queues a message.
-- Keys: the phone, the stream of its group, and the idempotency key's record, if any.
-- With dry it only tells what would be. The phone's user and devices are as the ledger
-- has them.
local function start(keys, args)
  local now, dry, limited, version, digits, created, expires, max = numbers(args, 1, 8)
  if keys[3] then
    local raw = redis.call('GET', keys[3])
    local done = raw and cmsgpack.unpack(raw)
    if done and done[2] > now then
      return { done[1] == args[12] and 'replayed' or 'mismatch' }
    end
  end
  local p = load(keys[1]) or unknown()
  p.o, p.v = args[21], args[22]
  local name, bindings = lane(p, { binding = args[11], user = args[19], device = args[20] })
  local til = now
  if limited == 1 then
    local b, l = budget(p, name), {}
    l.burst, l.every, l.sends, l.day, l.misses, l.period = numbers(args, 23, 28)
    local tat, limit, wait = refused(b, now, l)
    if limit then return { 'refused', limit, int(wait) } end
    b.b = tat
    b.d = record(now, b.d, l.sends, l.day)
    til = math.max(tat, #b.d > 0 and now + l.day / 1000 or 0)
  end
  if dry == 1 then return { 'passed' } end
  prune(p, now)
  local c = bound(p, bindings[1])
  if not c or full(c, max) or c[DIGITS] ~= digits then
    c = { args[10], version, digits, created, expires, bindings[1], tonumber(args[9]), 0, 0 }
    put(p, c)
  end
  p.s = args[16]
  enqueue(keys[2], now, c, args)
  save(keys[1], p, now, math.max(til, c[EXPIRES]))
  if keys[3] then
    redis.call('SET', keys[3], cmsgpack.pack({ args[12], tonumber(args[13]) }), 'PX', ttl(now, tonumber(args[13])))
  end
  return told(c)
end

-- open returns the challenge that a guess is for: the first of those bindings that
-- takes guesses. When there is none it says why.
local function open(p, bindings, now, max)
  local why
  for _, b in ipairs(bindings) do
    local c = bound(p, b)
    local dead = 'no challenge'
    if c and c[EXPIRES] <= now then
      dead = 'challenge has expired'
    elseif c and full(c, max) then
      dead = 'challenge is locked'
    elseif c then
      return c
    end
    why = why or dead
  end
  return nil, why
end

-- hand notes a ticket for a guess at a challenge, in a lane's budget.
local function hand(key, p, l, c, now, misses, period)
  c[PENDING] = c[PENDING] + 1
  local til = now
  if misses > 0 and period > 0 then
    l.t, til = record(now, l.t, misses, period), now + period / 1000
  end
  save(key, p, now, til)
end

-- imitate does to a decoy what ticket does to a phone, so that a guess at nothing
-- takes as long as one that counts. Its ticket is settled like any other.
local DECOY = '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'

local function imitate(key, now, misses, period, why)
  local p = load(key) or unknown()
  p.s = p.s or string.rep('\0', 48)
  p.c, p.x = { { DECOY, 1, 6, now, now, '', 0, 0, 0 } }, {}
  admit(now, failures(p), misses, period)
  hand(key, p, p, p.c[1], now, misses, period)
  return { 'dead', why }
end

-- ticket lets one guess be judged, and tells the caller's lane. Until it is settled it
-- counts there as a failure. Keys: the phone, and the decoy of its part.
local function ticket(keys, args)
  local now, max, misses, period = numbers(args, 1, 4)
  local p = load(keys[1])
  if not p then return imitate(keys[2], now, misses, period, 'phone is unknown') end
  local name, bindings = lane(p, { binding = args[5], user = args[6], device = args[7] })
  local l = budget(p, name)
  local wait = admit(now, failures(l), misses, period)
  if wait then return { 'refused', 'failures', int(wait) } end
  local c, why = open(p, bindings, now, max)
  if not c then return imitate(keys[2], now, misses, period, why) end
  local answer = told(c)
  answer[#answer + 1] = name
  hand(keys[1], p, l, c, now, misses, period)
  return answer
end

-- judged takes a ticket's time out of those that are being judged.
local function judged(l, now)
  local at = math.floor(now / 1000)
  for i = #l.t, 1, -1 do
    if l.t[i] <= at then return table.remove(l.t, i) end
  end
end

-- settle ends a ticket: {'right', the sealed number, the user, the devices}, or
-- {'wrong', whether another guess makes sense}.
local function settle(keys, args)
  local now, right, max, misses, period = numbers(args, 1, 5)
  local p = load(keys[1])
  if not p then return { 'wrong', 0 } end
  local limited, l = misses > 0 and period > 0, budget(p, args[7])
  if limited then judged(l, now) end
  local c, i = find(p, function(c) return c[ID] == args[6] end)
  local answer = { 'wrong', 0 }
  if c then table.remove(p.c, i) end
  if c and right == 1 then
    prune(p, now)
    answer = { 'right', p.s, p.o, p.v }
  elseif c then
    c[PENDING], c[ATTEMPTS] = c[PENDING] - 1, c[ATTEMPTS] + 1
    if c[RETIRED] == 0 or c[PENDING] > 0 then p.c[#p.c + 1] = c end
    if limited then l.x = record(now, l.x, misses, period) end
    if c[ATTEMPTS] < max and not admit(now, failures(l), misses, period) then answer[2] = 1 end
  end
  -- Without a challenge, which was used or forgotten, there was nothing to guess at.
  save(keys[1], p, now, now)
  return answer
end

-- own notes the user and the devices of a phone, as the ledger has them now.
local function own(keys, args)
  local now = tonumber(args[1])
  local p = load(keys[1])
  if not p then return 0 end
  p.o, p.v = args[2], args[3]
  save(keys[1], p, now, now)
  return 1
end

-- erase forgets a phone but for the failures that may count for so long, and the guesses
-- that are being judged, which may become some. It tells how many challenges and how
-- many failures there were.
local function erase(keys, args)
  local now, period = numbers(args, 1, 2)
  local p = load(keys[1])
  if not p then return { 0, 0 } end
  prune(p, now)
  local left, challenges, kept = unknown(), 0, 0
  for _, c in ipairs(p.c) do challenges = challenges + 1 - c[RETIRED] end
  local function keep(name, from)
    local x, t = live(now, from.x, period), live(now, from.t, period)
    if #x + #t == 0 then return end
    local b = budget(left, name)
    b.x, b.t, kept = x, t, kept + #x + #t
  end
  keep('open', p)
  for name, b in pairs(p.m) do keep(name, b) end
  left.u = p.u
  if kept > 0 then
    redis.call('SET', keys[1], cmsgpack.pack(left), 'KEEPTTL')
  else
    redis.call('DEL', keys[1])
  end
  return { challenges, kept }
end

-- recorded tells what is kept of a phone: nothing, or the sealed number, the live
-- challenges, and of each lane its name, its burst's arrival time, and the times of sends
-- and of failures in milliseconds.
local function recorded(keys, args)
  local now = tonumber(args[1])
  local p = load(keys[1])
  if not p then return {} end
  prune(p, now)
  local challenges, lanes = {}, {}
  for _, c in ipairs(p.c) do
    if c[RETIRED] == 0 then challenges[#challenges + 1] = told(c) end
  end
  local function ints(log)
    local out = {}
    for i, at in ipairs(log) do out[i] = int(at) end
    return out
  end
  local function tell(name, l)
    lanes[#lanes + 1] = { name, int(l.b), ints(l.d), ints(failures(l)) }
  end
  tell('open', p)
  for _, name in ipairs({ 'bound', 'known' }) do
    if p.m[name] then tell(name, p.m[name]) end
  end
  return { p.s or '', challenges, lanes }
end

-- known tells whether a phone was sent to lately.
local function known(keys) return redis.call('EXISTS', keys[1]) end

-- holds tells of a challenge whether its code may still be used.
local function holds(keys, args)
  local p = load(keys[1])
  local c = p and find(p, function(c) return c[ID] == args[1] and c[RETIRED] == 0 end)
  return c and 1 or 0
end

-- uses tells whether a phone has a live challenge of a version of the code key.
local function uses(keys, args)
  local now, version = numbers(args, 1, 2)
  local p = load(keys[1])
  local c = p and find(p, function(c) return c[VERSION] == version and c[EXPIRES] > now end)
  return c and 1 or 0
end

-- A session is an array: its fence, its end, and what the caller told of it (client,
-- user, phone, amr, auth time, created, issuer, subject).
local function session(key, now)
  local raw = redis.call('GET', key)
  local s = raw and cmsgpack.unpack(raw)
  if not s or s[2] <= now or s[1] ~= fence() then return nil end
  return s
end

local function keep(key, now, s)
  redis.call('SET', key, cmsgpack.pack(s), 'PX', ttl(now, s[2]))
  return 1
end

local function session_get(keys, args)
  local s = session(keys[1], tonumber(args[1]))
  if not s then return {} end
  s[2] = int(s[2])
  return s
end

local function session_put(keys, args)
  local now = tonumber(args[1])
  if session(keys[1], now) then return 0 end
  local s = { fence(), tonumber(args[2]) }
  for i = 3, 10 do s[i] = args[i] end
  return keep(keys[1], now, s)
end

-- session_upgrade changes what a verification says anew; never another client's.
local function session_upgrade(keys, args)
  local now = tonumber(args[1])
  local s = session(keys[1], now)
  if not s or s[3] ~= args[3] then return 0 end
  s[2] = math.max(s[2], tonumber(args[2]))
  s[5], s[6], s[7] = args[5], args[6], args[7]
  return keep(keys[1], now, s)
end

local function session_touch(keys, args)
  local now, expires = numbers(args, 1, 2)
  local s = session(keys[1], now)
  if not s or s[2] >= expires then return 0 end
  s[2] = expires
  return keep(keys[1], now, s)
end

local function session_revoke(keys) return redis.call('DEL', keys[1]) end

-- session_erase ends a session, of whichever life, if it is a client's with one of those
-- phones that was created until then.
local function session_erase(keys, args)
  local raw = redis.call('GET', keys[1])
  local s = raw and cmsgpack.unpack(raw)
  if not s or s[3] ~= args[1] or tonumber(s[8]) > tonumber(args[2]) then return 0 end
  for i = 3, #args do
    if s[5] == args[i] then return redis.call('DEL', keys[1]) end
  end
  return 0
end

-- drop removes what one key holds.
local function drop(keys) return redis.call('DEL', keys[1]) end

-- passed tells whether a stream has nothing left that was there when its newest entry
-- was asked for, with an empty id: {1 or 0, that entry's id}.
local function passed(keys, args)
  if args[1] ~= '' then
    return { #redis.call('XRANGE', keys[1], '-', args[1], 'COUNT', 1) == 0 and 1 or 0, args[1] }
  end
  local newest = redis.call('XREVRANGE', keys[1], '+', '-', 'COUNT', 1)[1]
  if not newest then return { 1, '' } end
  return { 0, newest[1] }
end

-- kept is how long, in ms, to keep what ends at a time, however far that is: a note
-- and a fact do no harm when a clock ran ahead.
local function kept(now, til) return int(math.max(1, math.ceil((til - now) / 1000)) + SLACK) end

-- The notes of a topic are a hash by their keys, of the time at which each was put, its
-- end and its body, with bars between them; and a set of the keys by their ends.
-- Keys of the functions: both.
local FORGOTTEN = 100 -- notes at once

-- notes_put stores notes (key, end, value), forgets some of those that ended long ago,
-- and keeps the rest until the last one ends.
local function notes_put(keys, args)
  local now = tonumber(args[1])
  for i = 2, #args, 3 do
    redis.call('HSET', keys[1], args[i], args[i + 2])
    redis.call('ZADD', keys[2], args[i + 1], args[i])
  end
  local gone = redis.call('ZRANGE', keys[2], '-inf', int(now - SLACK * 1000), 'BYSCORE', 'LIMIT', 0, FORGOTTEN)
  for _, key in ipairs(gone) do
    redis.call('HDEL', keys[1], key)
    redis.call('ZREM', keys[2], key)
  end
  local last = redis.call('ZREVRANGE', keys[2], 0, 0, 'WITHSCORES')[2]
  if not last then return 0 end
  local ttl = kept(now, tonumber(last))
  redis.call('PEXPIRE', keys[1], ttl)
  redis.call('PEXPIRE', keys[2], ttl)
  return 1
end

-- notes_get tells of the live notes that were put at a time or later: keys and values.
local function notes_get(keys, args)
  local now, since = numbers(args, 1, 2)
  local all, out = redis.call('HGETALL', keys[1]), {}
  for i = 1, #all, 2 do
    local at, til = string.match(all[i + 1], '^(%-?%d+)|(%-?%d+)|')
    if tonumber(til) > now and tonumber(at) >= since then
      out[#out + 1] = all[i]
      out[#out + 1] = all[i + 1]
    end
  end
  return out
end

-- A fact of a line is an array: its end, the line's type, the source.
local function line_put(keys, args)
  local now, til = numbers(args, 1, 2)
  redis.call('SET', keys[1], cmsgpack.pack({ til, args[3], args[4] }), 'PX', kept(now, til))
  return 1
end

local function line_get(keys, args)
  local raw = redis.call('GET', keys[1])
  local fact = raw and cmsgpack.unpack(raw)
  if not fact or fact[1] <= tonumber(args[1]) then return {} end
  return { int(fact[1]), fact[2], fact[3] }
end

-- pad writes something durable.
local function pad(keys)
  redis.call('SET', keys[1], '', 'PX', int(SLACK))
  return 1
end

-- others tells whether entries of a stream are in other hands.
local function others(key, name)
  for _, c in ipairs(redis.call('XPENDING', key, 'ledger')[4] or {}) do
    if c[1] ~= name then return true end
  end
  return false
end

-- collect hands entries of a stream to one that moves them: those that others have had
-- for too long, and new ones while others have none, so that they stay in order.
local function collect(keys, args)
  local count, idle = numbers(args, 2, 3)
  fence() -- so that it is asked for now and then
  if redis.call('EXISTS', keys[1]) == 0 then return {} end
  local function claim()
    return redis.pcall('XAUTOCLAIM', keys[1], 'ledger', args[1], int(idle), '0', 'COUNT', int(count))
  end
  local old = claim()
  if old.err then
    if not string.find(old.err, 'NOGROUP', 1, true) then return redis.error_reply(old.err) end
    redis.call('XGROUP', 'CREATE', keys[1], 'ledger', '0')
    old = claim()
  end
  local out = {}
  for _, e in ipairs(old[2]) do
    if e and e[2] then out[#out + 1] = e end
  end
  if #out < count and not others(keys[1], args[1]) then
    local new = redis.call('XREADGROUP', 'GROUP', 'ledger', args[1], 'COUNT', int(count - #out), 'STREAMS', keys[1], '>')
    for _, e in ipairs(new and new[1] and new[1][2] or {}) do out[#out + 1] = e end
  end
  return out
end

-- done forgets entries that the ledger has, and tells how many are left.
local function done(keys, args)
  redis.call('XACK', keys[1], 'ledger', unpack(args))
  redis.call('XDEL', keys[1], unpack(args))
  return redis.call('XLEN', keys[1])
end

-- backlog tells how many entries wait, and the oldest.
local function backlog(keys)
  if redis.call('EXISTS', keys[1]) == 0 then return { 0, {} } end
  return { redis.call('XLEN', keys[1]), redis.call('XRANGE', keys[1], '-', '+', 'COUNT', 1) }
end

local function register(name, f, flags)
  redis.register_function({ function_name = 'codeword_v3_' .. name, callback = f, flags = flags })
end

register('charge', charge)
register('give', give, { 'allow-oom' })
register('reserve', reserve)
register('release', release, { 'allow-oom' })
register('start', start)
register('ticket', ticket)
register('settle', settle, { 'allow-oom' })
register('own', own, { 'allow-oom' })
register('erase', erase, { 'allow-oom' })
register('record', recorded, { 'no-writes' })
register('known', known, { 'no-writes' })
register('holds', holds, { 'no-writes' })
register('uses', uses, { 'no-writes' })
register('session_get', session_get, { 'no-writes' })
register('session_put', session_put)
register('session_upgrade', session_upgrade)
register('session_touch', session_touch)
register('session_revoke', session_revoke, { 'allow-oom' })
register('session_erase', session_erase, { 'allow-oom' })
register('drop', drop, { 'allow-oom' })
register('notes_put', notes_put)
register('notes_get', notes_get, { 'no-writes' })
register('line_put', line_put)
register('line_get', line_get, { 'no-writes' })
register('pad', pad)
register('fence', function() return fence() end, { 'no-writes' })
register('collect', collect, { 'allow-oom' })
register('done', done, { 'allow-oom' })
register('backlog', backlog, { 'no-writes' })
register('passed', passed, { 'no-writes' })
