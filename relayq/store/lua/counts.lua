-- How many jobs are in each state. Answers (state, count)…
local answer = {}
for _, state in ipairs({'queued', 'running', 'succeeded', 'failed', 'cancelled'}) do
  answer[#answer + 1] = state
  answer[#answer + 1] = call('ZCARD', K .. 'state:' .. state)
end
return answer
