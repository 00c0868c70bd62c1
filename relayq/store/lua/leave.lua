-- A worker goes: for a while, or (removed) for good. ARGV[5] worker, [6] incarnation or '' for any, [7] '1' if removed,
-- [8] seconds what it still runs is kept for it (handing over)
-- Answers 'ok' | 'replaced' | 'unknown' | 'busy' (removed while it is online or holds an attempt)
local worker = ARGV[5]
local key = K .. 'worker:' .. worker
if call('HEXISTS', K .. 'workers', worker) == 0 then return 'unknown' end
if ARGV[6] ~= '' and call('HGET', key, 'incarnation') ~= ARGV[6] then return 'replaced' end
if ARGV[7] == '' then
  call('HSET', key, 'seen_at', tostring(T - LEASE_FLOOR))
  for _, id in ipairs(call('ZRANGE', K .. 'held:' .. worker, 0, -1)) do
    call('ZADD', K .. 'due', 'XX', 'GT', T + tonumber(ARGV[8]), 'lease ' .. id)
  end
  return 'ok'
end
if online(call('HGET', key, 'seen_at')) or call('ZCARD', K .. 'held:' .. worker) > 0 then return 'busy' end
for _, lane in ipairs(call('SMEMBERS', K .. 'serves:' .. worker)) do call('SREM', K .. 'servers:' .. lane, worker) end
local queue = call('HGET', key, 'queue')
if queue then call('DEL', queue) end
call('DEL', K .. 'serves:' .. worker, K .. 'left_out:' .. worker, key)
call('HDEL', K .. 'workers', worker)
return 'ok'
