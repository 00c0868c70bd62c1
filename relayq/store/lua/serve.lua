-- Say which lanes a worker serves. ARGV[5] worker, [6] '1' if these are all, '' if these are more, [7] the version of
-- the set of lanes of which they are all, or '', [8…] lane and what the worker lacks of its rule, of each
-- Answers the version of the set of lanes.
local worker = ARGV[5]
if call('HEXISTS', K .. 'workers', worker) == 0 then return 0 end
-- One that somebody has added since is not among them.
if ARGV[6] == '1' and (ARGV[7] == '' or tonumber(ARGV[7]) == num(call('GET', K .. 'lanes:version'), 0)) then
  for _, lane in ipairs(call('SMEMBERS', K .. 'serves:' .. worker)) do
    call('SREM', K .. 'servers:' .. lane, worker)
    call('HDEL', K .. 'lacks:' .. lane, worker)
  end
  call('DEL', K .. 'serves:' .. worker)
end
for i = 8, #ARGV, 2 do
  if call('SADD', K .. 'lanes', ARGV[i]) == 1 then call('INCR', K .. 'lanes:version') end
  call('SADD', K .. 'serves:' .. worker, ARGV[i])
  call('SADD', K .. 'servers:' .. ARGV[i], worker)
  if ARGV[i + 1] ~= '0' then
    call('HSET', K .. 'lacks:' .. ARGV[i], worker, ARGV[i + 1])
  elseif has_rule(ARGV[i]) then
    call('HDEL', K .. 'lacks:' .. ARGV[i], worker)
  end
end
-- Work may have been waiting for somebody to serve it.
if ARGV[6] == '1' then ring_own(worker_named(worker)) end
return num(call('GET', K .. 'lanes:version'), 0)
