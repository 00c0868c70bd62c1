-- A worker goes: for a while, or (removed) for good. ARGV[5] worker, [6] incarnation or '' for any, [7] '1' if removed,
-- [8] count, then id, number, nonce of each
-- Answers {which of them, for how many seconds…} (of those that count) | 'ok' (removed) | 'replaced' | 'unknown' | 'busy' (removed while it is online or holds an attempt)
local worker = ARGV[5]
local key = K .. 'worker:' .. worker
if call('HEXISTS', K .. 'workers', worker) == 0 then return 'unknown' end
if ARGV[6] ~= '' and call('HGET', key, 'incarnation') ~= ARGV[6] then return 'replaced' end
if ARGV[7] == '' then
  call('HSET', key, 'seen_at', tostring(T), 'left_at', tostring(T))
  local kept = {}
  for n = 1, tonumber(ARGV[8]) do
    local i = 9 + (n - 1) * 3
    local j = load(ARGV[i])
    if j and is_current(j, tonumber(ARGV[i + 1]), ARGV[i + 2]) then
      local a = current(j)
      a.kept_until = T + HANDING_OVER
      save(j)
      local seconds = math.max(renew(j, a), HANDING_OVER)
      kept[#kept + 1] = n
      kept[#kept + 1] = tostring(seconds)
    end
  end
  return kept
end
if worker_named(worker).online or call('ZCARD', K .. 'held:' .. worker) > 0 then return 'busy' end
for _, lane in ipairs(call('SMEMBERS', K .. 'serves:' .. worker)) do
  call('SREM', K .. 'servers:' .. lane, worker)
  call('HDEL', K .. 'lacks:' .. lane, worker)
end
local queue = call('HGET', key, 'queue')
if queue then call('DEL', queue) end
call('DEL', K .. 'serves:' .. worker, K .. 'left_out:' .. worker, K .. 'beats:' .. worker, key)
call('HDEL', K .. 'workers', worker)
return 'ok'
