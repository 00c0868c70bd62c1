-- Add output to a running attempt. ARGV[5] id, [6] number, [7] nonce, [8] count, then stream, offset, bytes of each;
--   after them how far it is (JSON), or nothing
-- Answers 'ok' | 'stale'
local j = load(ARGV[5])
if not j or not is_current(j, tonumber(ARGV[6]), ARGV[7]) then return 'stale' end
append(j, current(j), 9, tonumber(ARGV[8]))
local said = ARGV[9 + 3 * tonumber(ARGV[8])]
if said then told(j, said) end
save(j)
local watching, followers = call('HGETALL', K .. 'watch:' .. j.id), {}
for i = 1, #watching, 2 do
  if watching[i + 1] == 'out' then followers[#followers + 1] = watching[i] end
end
if #followers > 0 then tell(followers, 'job', j.id, 'what', 'output') end
return 'ok'
