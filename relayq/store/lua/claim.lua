-- The best job for this worker. ARGV[5] worker, [6] incarnation, [7] nonce, [8] '1' if this call is a repeat
-- Answers {'replaced'} | {'none'} | {'job', spec, doc, term}
local worker, nonce = ARGV[5], ARGV[7]
local w = call('HMGET', K .. 'worker:' .. worker, 'slots', 'paused', 'contact_since', 'incarnation')
if w[4] ~= ARGV[6] then return {'replaced'} end
local got = (ARGV[8] == '1' and claimed_before(worker, nonce)) or claim(worker, nonce, w)
if not got then return {'none'} end
return {'job', got[1], got[2], got[3]}
