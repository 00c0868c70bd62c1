-- Every known worker. Answers {now, (info, seen_at, held, load, paused, paused_until, quarantined, held_back, left_at,
-- readings, reprobe)…}, '' where there is nothing.
local all = call('HGETALL', K .. 'workers')
local answer = {tostring(T)}
for i = 1, #all, 2 do
  answer[#answer + 1] = all[i + 1]
  local w = call('HMGET', K .. 'worker:' .. all[i], 'seen_at', 'load', 'paused', 'paused_until', 'quarantined', 'held_back',
    'left_at', 'readings', 'reprobe')
  answer[#answer + 1] = w[1] or ''
  answer[#answer + 1] = call('ZCARD', K .. 'held:' .. all[i])
  for n = 2, 9 do answer[#answer + 1] = w[n] or '' end
end
return answer
