-- A worker's heartbeat: it is there, it holds these attempts.
-- ARGV[5] worker, [6] incarnation, [7] load or '', [8] why it takes nothing new by its own choice, or '',
--   [9] when it said so by its reckoning of our time, or '', [10] nonces of its claims on their way,
--   [11] how its machine is (JSON) or '' for as before, [12] count, then id, number, nonce, progress (JSON or '') of each
-- Answers {'replaced'} | {'ok', now, lanes version, '1' if work is waiting, terms, superseded, cancelled,
--   why it is quarantined (JSON) or '', rings that wait in its queue, '1' if it has to announce what it runs,
--   seconds until something is due or '', what it is to look for on its machine (JSON) or ''}
local worker = ARGV[5]
local key = K .. 'worker:' .. worker
if call('HGET', key, 'incarnation') ~= ARGV[6] then return {'replaced'} end
-- Counts the time since the last pulse as time it was there, unless it was away or had said goodbye.
local function beat(w)
  local beats, quarter = K .. 'beats:' .. worker, math.floor(T / 900)
  if not w.online then return call('HSETNX', beats, 'since', quarter) end
  local more = math.floor(math.min(math.max(T - w.seen_at, 0), LEASE_FLOOR) * 1000)
  if call('HINCRBY', beats, quarter, more) > more then return end
  call('HSETNX', beats, 'since', quarter)
  for _, old in ipairs(call('HKEYS', beats)) do
    if old ~= 'since' and quarter - tonumber(old) >= 96 then call('HDEL', beats, old) end
  end
end

look_for_epoch(true)
local w = worker_named(worker)

beat(w)
-- Contact is unbroken while no two pulses in a row are missed.
if T - (w.seen_at or 0) > LEASE_FLOOR * 10 / 15 then w.contact_since = T end
call('HSET', key, 'seen_at', tostring(T), 'contact_since', tostring(w.contact_since), 'load', ARGV[7], 'grants', 0, 'left_at', '')
if ARGV[11] ~= '' then call('HSET', key, 'readings', ARGV[11]) end
if ARGV[8] ~= '' then call('HSET', key, 'held_back', ARGV[8]) else call('HDEL', key, 'held_back') end
local unheard = call('LLEN', w.queue)

local terms, superseded, cancelled, listed = {}, {}, {}, {}
for n = 1, tonumber(ARGV[12]) do
  local i = 13 + (n - 1) * 4
  local id, number, nonce = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2]
  local j = load(id)
  if j and is_current(j, number, nonce) then
    listed[id] = true
    terms[#terms + 1] = id
    terms[#terms + 1] = tostring(renew(j, current(j)))
    if j.cancel_requested_at then cancelled[#cancelled + 1] = id end
    if ARGV[i + 3] ~= '' and told(j, ARGV[i + 3]) then save(j) end
  else
    superseded[#superseded + 1] = id
  end
end
-- A claim whose answer was lost must not look like a lost machine. But what is late itself knows nothing of newer claims,
-- and in a new epoch an attempt may have ended and been forgotten.
local timely = T - num(ARGV[9], T) <= LEASE_FLOOR * 3 / 15
local unlisted = timely and w.epoch == epoch()
  and call('ZRANGEBYSCORE', K .. 'held:' .. worker, '-inf', T - LEASE_FLOOR * 10 / 15)
for _, id in ipairs(unlisted or {}) do
  if not listed[id] then
    local j = load(id)
    if j and string.find(ARGV[10], current(j).nonce, 1, true) then
      -- It is on its way.
    elseif j then
      give_back(j, {reason = 'worker_stopped'}, false)
    else
      call('ZREM', K .. 'held:' .. worker, id)
    end
  end
end
pass_time()
judge_offers(w)

-- Records expire by themselves; their places in the indexes are swept here, a few at a time.
local function sweep(index)
  for _, id in ipairs(call('ZRANGEBYSCORE', K .. index, '-inf', T - KEEP, 'LIMIT', 0, 50)) do
    if call('EXISTS', K .. 'job:' .. id) == 0 then
      call('ZREM', K .. index, id)
      call('ZREM', K .. 'ids', id)
    end
  end
end
sweep('state:succeeded')
sweep('state:failed')
sweep('state:cancelled')
sweep('ran:' .. worker)
for _, entry in ipairs(call('ZRANGEBYSCORE', K .. 'outputs', '-inf', T - KEEP, 'LIMIT', 0, 50)) do
  call('ZREM', K .. 'outputs', entry)
  call('INCRBY', K .. 'output_bytes', -tonumber(string.match(entry, '(%d+)$')))
end
within_budget(num(call('GET', K .. 'output_bytes'), 0))

local memory = call('INFO', 'memory')
local used, limit = string.match(memory, 'used_memory:(%d+)'), string.match(memory, 'maxmemory:(%d+)')
if limit and tonumber(limit) > 0 and tonumber(used) > 0.85 * tonumber(limit) then
  call('SET', K .. 'full', '1')
else
  call('DEL', K .. 'full')
end

w = worker_named(worker)
local waiting = ring_own(w) and '1' or ''
local due = call('ZRANGE', K .. 'due', 0, 0, 'WITHSCORES')
return {'ok', tostring(T), num(call('GET', K .. 'lanes:version'), 0), waiting, terms, superseded, cancelled,
  call('HGET', key, 'quarantined') or '', unheard, w.epoch ~= epoch() and '1' or '',
  due[2] and string.format('%.3f', tonumber(due[2]) - T) or '', call('HGET', key, 'reprobe') or ''}
