-- Output of an attempt from a position on. ARGV[5] id, [6] attempt or '' for the last, [7] position
-- Answers {} for no such job | {attempt, ended ('1' or ''), next position, chunk…}
local j = load(ARGV[5])
if not j then return {} end
local a = current(j)
local n = tonumber(ARGV[6]) or (a and a.number) or 0
local at = attempt_numbered(j, n)
local m = at and at.o or {0, 0, 0, 0, 0, 0}
local from, heads, gone = tonumber(ARGV[7]), m[4], m[6]
local over = (ended(j) or (a and a.number > n)) and '1' or ''
local answer = {tostring(n), over, ''}
local position = heads + gone + call('LLEN', out_key(j.id, n, 't'))
if from < heads then
  for _, chunk in ipairs(call('LRANGE', out_key(j.id, n, 'h'), from, -1)) do answer[#answer + 1] = chunk end
end
for _, chunk in ipairs(call('LRANGE', out_key(j.id, n, 't'), math.max(0, from - heads - gone), -1)) do
  answer[#answer + 1] = chunk
end
answer[3] = tostring(position)
return answer
