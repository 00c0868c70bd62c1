-- Add output to a running attempt. ARGV[5] id, [6] number, [7] nonce, [8] count, then stream, offset, bytes of each
-- Answers 'ok' | 'stale'
local j = load(ARGV[5])
if not j or not is_current(j, tonumber(ARGV[6]), ARGV[7]) then return 'stale' end
append(j, tonumber(ARGV[6]), 9, tonumber(ARGV[8]))
local followers = call('SMEMBERS', K .. 'watch:' .. j.id .. ':out')
if #followers > 0 then tell(followers, 'job', j.id, 'what', 'output') end
return 'ok'
