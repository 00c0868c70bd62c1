-- What waits, by lane: answers {now, (lane, how many, place of the first in line or '')…}
local answer = {tostring(T)}
for _, lane in ipairs(call('SMEMBERS', K .. 'lanes')) do
  local first = call('ZRANGE', K .. 'lane:' .. lane, 0, 0)[1]
  local j = first and load(first)
  answer[#answer + 1] = lane
  answer[#answer + 1] = call('ZCARD', K .. 'lane:' .. lane)
  answer[#answer + 1] = j and tostring(j.place) or ''
end
return answer
