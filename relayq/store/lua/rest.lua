-- A worker takes nothing new for a while, or takes work again, or looks at its machine. ARGV[5] worker, [6] 'pause' |
--   'resume' | 'release' (from quarantine only) | 'reprobe', [7] what is said of it (JSON), [8] a pause's end or ''
-- Answers 'ok' | 'unknown'
local worker = ARGV[5]
local key = K .. 'worker:' .. worker
if call('HEXISTS', K .. 'workers', worker) == 0 then return 'unknown' end
if ARGV[6] == 'pause' then
  local said = cjson.decode(ARGV[7])
  said.since = T
  call('HSET', key, 'paused', cjson.encode(said))
  if ARGV[8] == '' then call('HDEL', key, 'paused_until') else call('HSET', key, 'paused_until', tostring(T + tonumber(ARGV[8]))) end
  return 'ok'
end
if ARGV[6] == 'reprobe' then
  local said = cjson.decode(ARGV[7])
  said.since = T
  call('HSET', key, 'reprobe', cjson.encode(said))
  nudge(worker)
  return 'ok'
end
if ARGV[6] == 'resume' then call('HDEL', key, 'paused', 'paused_until') end
call('HDEL', key, 'quarantined', 'misstarts', 'left_out_until')
call('DEL', K .. 'left_out:' .. worker)
ring_own(worker_named(worker))
return 'ok'
