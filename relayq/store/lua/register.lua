-- A worker starts, or starts again. What it does not say it still runs is given back as lost at once.
-- ARGV[5] info (JSON), [6] queue, [7] ring, [8] channel, [9] nudge, [10] when it said so, by our clock, or '',
--   [11] count, then id, number, nonce, age (or '') of each attempt
-- Answers {'late'} | {'taken', why} | {'ok', now, lanes version, which of them are its own, lane…}
-- One that was held up on its way knows nothing of what has begun since, and may be another process' than lives now.
if T - num(ARGV[10], T) > LEASE_FLOOR * 3 / 15 then return {'late'} end
look_for_epoch(true)
local info = cjson.decode(ARGV[5])
local name = info.name
local key = K .. 'worker:' .. name
local there = call('HGET', K .. 'workers', name)
if there and cjson.decode(there).identity ~= info.identity then
  if worker_named(name).online then return {'taken', 'is online'} end
  if call('ZCARD', K .. 'held:' .. name) > 0 then return {'taken', 'still holds a job'} end
end
describe(info, ARGV[5])
call('HSET', key, 'incarnation', info.incarnation, 'slots', info.slots, 'seen_at', tostring(T),
  'contact_since', tostring(T), 'queue', ARGV[6], 'ring', ARGV[7], 'channel', ARGV[8], 'nudge', ARGV[9])
call('HDEL', key, 'load', 'held_back', 'grants', 'left_at')
call('DEL', ARGV[6])

local mine = {} -- job → which of them; of two attempts at one job the later may have superseded the earlier
for n = 1, tonumber(ARGV[11]) do
  local i = 12 + (n - 1) * 4
  local id = ARGV[i]
  local j = announced(name, id, tonumber(ARGV[i + 1]), ARGV[i + 2], ARGV[i + 3])
  if j then
    local a = current(j)
    if a.worker ~= name then
      call('ZREM', K .. 'held:' .. a.worker, id)
      call('ZADD', K .. 'held:' .. name, a.claimed_at, id)
      call('ZADD', K .. 'ran:' .. name, j.place, id)
      a.worker = name
      save(j)
    end
    renew(j, a)
    mine[id] = n
  end
end
has_announced(name)
for _, id in ipairs(call('ZRANGE', K .. 'held:' .. name, 0, -1)) do
  if not mine[id] then
    local j = load(id)
    if j then
      give_back(j, {reason = 'killed'}, true)
    else
      call('ZREM', K .. 'held:' .. name, id)
    end
  end
end
if call('SADD', K .. 'lanes', 'any') == 1 then call('INCR', K .. 'lanes:version') end
local adopted = {}
for _, n in pairs(mine) do adopted[#adopted + 1] = n end
local answer = {'ok', tostring(T), num(call('GET', K .. 'lanes:version'), 0), adopted}
for _, lane in ipairs(call('SMEMBERS', K .. 'lanes')) do answer[#answer + 1] = lane end
return answer
