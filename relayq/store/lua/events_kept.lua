-- Where the stream of events begins and ends. Answers {a cursor before its oldest entry, one behind its newest}.
local first = call('XRANGE', K .. 'events', '-', '+', 'COUNT', 1)[1]
local last = call('XREVRANGE', K .. 'events', '+', '-', 'COUNT', 1)[1]
if not first then return {'0-0', '0-0'} end
local ms, number = string.match(first[1], '^(%d+)-(%d+)$')
local before = tonumber(number) > 0 and ms .. '-' .. string.format('%d', tonumber(number) - 1)
  or string.format('%.0f', tonumber(ms) - 1) .. '-18446744073709551615'
return {before, last[1]}
