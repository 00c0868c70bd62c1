-- Tell this inbox of these jobs. ARGV[5] inbox, [6] 'end' or 'out', [7…] ids
-- Answers (spec, doc) of each job that has ended already: nothing more will be told of it.
local answer = {}
local suffix = ARGV[6] == 'out' and ':out' or ''
for i = 7, #ARGV do
  local r = call('HMGET', K .. 'job:' .. ARGV[i], 'spec', 'doc')
  if r[1] then
    if ended(cjson.decode(r[2])) then
      answer[#answer + 1] = r[1]
      answer[#answer + 1] = r[2]
    else
      call('SADD', K .. 'watch:' .. ARGV[i] .. suffix, ARGV[5])
      call('EXPIRE', K .. 'watch:' .. ARGV[i] .. suffix, 86400)
    end
  end
end
return answer
