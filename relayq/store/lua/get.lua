-- Records of jobs by id. ARGV[5…] ids. Answers (spec, doc, progress)…, '' where there is nothing.
local answer = {}
for i = 5, #ARGV do
  local r = call('HMGET', K .. 'job:' .. ARGV[i], 'spec', 'doc', 'progress')
  answer[#answer + 1] = r[1] or ''
  answer[#answer + 1] = r[2] or ''
  answer[#answer + 1] = r[3] or ''
end
return answer
