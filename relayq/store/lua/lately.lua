-- The jobs that ended last, newest first. ARGV[5] how many. Answers (spec, doc)…
local answer = {}
for _, id in ipairs(call('LRANGE', K .. 'lately', 0, tonumber(ARGV[5]) - 1)) do
  local r = call('HMGET', K .. 'job:' .. id, 'spec', 'doc')
  if r[1] then
    answer[#answer + 1] = r[1]
    answer[#answer + 1] = r[2]
  end
end
return answer
