-- Ids that begin like this, at most so many. ARGV[5] prefix, [6] limit
return call('ZRANGEBYLEX', K .. 'ids', '[' .. ARGV[5], '[' .. ARGV[5] .. '\255', 'LIMIT', 0, tonumber(ARGV[6]))
