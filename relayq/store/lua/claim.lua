-- The best job for this worker. ARGV[5] worker, [6] incarnation, [7] nonce, [8] '1' if this call is a repeat
-- Answers {'replaced'} | {'none'} | {'job', spec, doc, term}
local w = worker_named(ARGV[5])
if w.incarnation ~= ARGV[6] then return {'replaced'} end
local got = (ARGV[8] == '1' and claimed_before(w.name, ARGV[7])) or claim(w, ARGV[7])
if not got then return {'none'} end
return {'job', got[1], got[2], got[3]}
