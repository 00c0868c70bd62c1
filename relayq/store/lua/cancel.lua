-- Nobody wants this job any more. ARGV[5] id. Answers {} for no such job | {spec, doc}
local j = load(ARGV[5])
if not j then return {} end
pass_time()
j = load(ARGV[5])
cancel(j)
return call('HMGET', K .. 'job:' .. j.id, 'spec', 'doc')
