-- A page of jobs, newest first. ARGV[5] worker or '', [6] place to start below or '', [7] submitted after or '',
--   [8] limit, [9] '1' for the oldest first (then without worker), [10…] states. Answers (spec, doc)…
local worker, limit = ARGV[5], tonumber(ARGV[8])
local max = ARGV[6] == '' and '+inf' or '(' .. ARGV[6]
local min = ARGV[7] == '' and '-inf' or ARGV[7]
local wanted, found = {}, {}
for i = 10, #ARGV do wanted[ARGV[i]] = true end
local oldest = ARGV[9] == '1'
local function page(index, top, count)
  if oldest then return call('ZRANGEBYSCORE', K .. index, min, top, 'WITHSCORES', 'LIMIT', 0, count) end
  return call('ZREVRANGEBYSCORE', K .. index, top, min, 'WITHSCORES', 'LIMIT', 0, count)
end
if worker ~= '' then
  -- A worker's jobs are read in runs, because not all of them are in a wanted state.
  for _ = 1, 20 do
    local rows = page('ran:' .. worker, max, limit)
    for i = 1, #rows, 2 do
      local j = load(rows[i])
      if j and wanted[j.state] and #found < limit then found[#found + 1] = {rows[i], tonumber(rows[i + 1])} end
      max = '(' .. rows[i + 1]
    end
    if #rows < 2 * limit or #found >= limit then break end
  end
else
  for i = 10, #ARGV do
    local rows = page('state:' .. ARGV[i], max, limit)
    for k = 1, #rows, 2 do found[#found + 1] = {rows[k], tonumber(rows[k + 1])} end
  end
  table.sort(found, function(a, b) if oldest then return a[2] < b[2] end return a[2] > b[2] end)
end
local answer = {}
for i = 1, math.min(limit, #found) do
  local r = call('HMGET', K .. 'job:' .. found[i][1], 'spec', 'doc')
  if r[1] then
    answer[#answer + 1] = r[1]
    answer[#answer + 1] = r[2]
  end
end
return answer
