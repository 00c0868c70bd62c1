-- Every lane. Answers {version, lane…}
local answer = {num(call('GET', K .. 'lanes:version'), 0)}
for _, lane in ipairs(call('SMEMBERS', K .. 'lanes')) do answer[#answer + 1] = lane end
return answer
