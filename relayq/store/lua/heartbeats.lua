-- When every known worker was there. Answers {now, (name, {field, value, …} of its beats)…}
local answer = {tostring(T)}
for _, name in ipairs(call('HKEYS', K .. 'workers')) do
  answer[#answer + 1] = name
  answer[#answer + 1] = call('HGETALL', K .. 'beats:' .. name)
end
return answer
