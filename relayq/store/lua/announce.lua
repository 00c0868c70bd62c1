-- In a new epoch a worker says what it runs, and what it has just finished (whose ends it says again afterwards).
-- ARGV[5] worker, [6] incarnation, [7] count, then id, number, nonce, age of each attempt
-- Answers {'replaced'} | {'ok', unknown jobs, (id, end of stdout, end of stderr as stored)… of the attempts that count}
local worker = ARGV[5]
if call('HGET', K .. 'worker:' .. worker, 'incarnation') ~= ARGV[6] then return {'replaced'} end
local unknown, stored = {}, {}
for n = 1, tonumber(ARGV[7]) do
  local i = 8 + (n - 1) * 4
  local j = announced(worker, ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2], ARGV[i + 3])
  if j then
    renew(j, current(j))
    local m = current(j).o or {0, 0}
    stored[#stored + 1] = ARGV[i]
    stored[#stored + 1] = m[1]
    stored[#stored + 1] = m[2]
  elseif j == false then
    unknown[#unknown + 1] = ARGV[i]
  end
end
-- One that has to submit a job again is not done yet.
if #unknown == 0 then
  has_announced(worker)
  ring_own(worker_named(worker))
end
return {'ok', unknown, stored}
