-- Tell this inbox of these jobs. ARGV[5] inbox, [6] 'end' or 'out', [7…] ids
-- Answers (spec, doc) of each job that has ended already: nothing more will be told of it.
-- Where no worker is there, nobody but those who wait makes time pass.
pass_time()
local answer = {}
for i = 7, #ARGV do
  local r = call('HMGET', K .. 'job:' .. ARGV[i], 'spec', 'doc')
  if r[1] then
    if ended(cjson.decode(r[2])) then
      answer[#answer + 1] = r[1]
      answer[#answer + 1] = r[2]
    else
      local key = K .. 'watch:' .. ARGV[i]
      if ARGV[6] == 'out' then call('HSET', key, ARGV[5], 'out') else call('HSETNX', key, ARGV[5], 'end') end
      call('EXPIRE', key, 86400)
    end
  end
end
return answer
