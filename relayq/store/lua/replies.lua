-- 1.x answers. ARGV[5] 'due' with [6] seconds since their end: (spec, doc)… ; or 'done' with [6] id.
if ARGV[5] == 'done' then return call('ZREM', K .. 'replies', ARGV[6]) end
local answer = {}
for _, id in ipairs(call('ZRANGEBYSCORE', K .. 'replies', '-inf', T - tonumber(ARGV[6]), 'LIMIT', 0, 50)) do
  local r = call('HMGET', K .. 'job:' .. id, 'spec', 'doc')
  if r[1] then
    answer[#answer + 1] = r[1]
    answer[#answer + 1] = r[2]
  else
    call('ZREM', K .. 'replies', id)
  end
end
return answer
