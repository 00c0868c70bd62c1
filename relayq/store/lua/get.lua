-- Records of jobs by id. ARGV[5…] ids. Answers (spec, doc)…, '' where there is nothing.
local answer = {}
for i = 5, #ARGV do
  local r = call('HMGET', K .. 'job:' .. ARGV[i], 'spec', 'doc')
  answer[#answer + 1] = r[1] or ''
  answer[#answer + 1] = r[2] or ''
end
return answer
