-- End an attempt with its last output, and claim the next job for the same slot.
-- ARGV[5] worker, [6] incarnation, [7] id, [8] number, [9] nonce, [10] outcome (JSON), [11] nonce of the next claim
--   or '' for none, [12] '1' if this call is a repeat, [13] '1' to give back, '2' to give back as lost, '' to finish,
--   [14] count of chunks, then stream, offset, bytes of each
-- Answers {'ok'|'stale', state or '', 'none'|'job', spec, doc, term}
local worker, id, number, nonce, next_nonce = ARGV[5], ARGV[7], tonumber(ARGV[8]), ARGV[9], ARGV[11]
local outcome = cjson.decode(ARGV[10])
local j, said = load(id), 'stale'
if j and said_before(j, number, nonce, outcome.reason) then
  said = 'ok'
elseif j and is_current(j, number, nonce) then
  said = 'ok'
  if ARGV[14] ~= '0' then append(j, current(j), 15, tonumber(ARGV[14])) end
  if ARGV[13] == '' then
    finish(j, outcome)
  else
    give_back(j, outcome, ARGV[13] == '2')
  end
end
local state = j and j.state or ''
local w = worker_named(worker)
-- It can start jobs: what it could not start lately was not its doing.
if w.misstarts and ARGV[13] == '' and outcome.reason ~= 'not_started' then
  call('HDEL', K .. 'worker:' .. worker, 'misstarts')
end
if next_nonce == '' or w.incarnation ~= ARGV[6] then return {said, state, 'none'} end
local got = (ARGV[12] == '1' and claimed_before(worker, next_nonce)) or claim(w, next_nonce)
if not got then return {said, state, 'none'} end
return {said, state, 'job', got[1], got[2], got[3]}
