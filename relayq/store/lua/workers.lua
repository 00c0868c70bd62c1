-- Every known worker. Answers {now, (info, seen_at, held, paused, load)…}, '' where there is nothing.
local all = call('HGETALL', K .. 'workers')
local answer = {tostring(T)}
for i = 1, #all, 2 do
  local w = call('HMGET', K .. 'worker:' .. all[i], 'seen_at', 'paused', 'load')
  answer[#answer + 1] = all[i + 1]
  answer[#answer + 1] = w[1] or ''
  answer[#answer + 1] = call('ZCARD', K .. 'held:' .. all[i])
  answer[#answer + 1] = w[2] or ''
  answer[#answer + 1] = w[3] or ''
end
return answer
