-- A worker says something else of itself. ARGV[5] info (JSON), [6] worker, [7] incarnation. Answers 'ok' | 'replaced'
local key = K .. 'worker:' .. ARGV[6]
if call('HGET', key, 'incarnation') ~= ARGV[7] then return 'replaced' end
describe(cjson.decode(ARGV[5]), ARGV[5])
call('HDEL', key, 'reprobe')
return 'ok'
