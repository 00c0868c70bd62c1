-- Take new jobs into their lines; all or none. A job that is there already is answered as it is.
-- ARGV[5] inbox or '', [6] count, then for each: spec, doc, anyway ('1' or '')
-- Answers {'unserved', lane…} | {'full'} | {'taken', id} | {'ok', now, epoch, doc…}
if call('EXISTS', K .. 'full') == 1 then return {'full'} end
local inbox, count = ARGV[5], tonumber(ARGV[6])
local jobs, unserved, seen = {}, {'unserved'}, {}
for n = 1, count do
  local i = 7 + (n - 1) * 3
  local j = cjson.decode(ARGV[i + 1])
  local there = call('HMGET', K .. 'job:' .. j.id, 'spec', 'doc')
  if there[1] and there[1] ~= ARGV[i] then return {'taken', j.id} end
  jobs[n] = there[1] and {doc = there[2]} or {j = j, spec = ARGV[i]}
  if not there[1] and j.lane ~= 'any' and not seen[j.lane] then
    seen[j.lane] = true
    if ARGV[i + 2] == '' and call('SCARD', K .. 'servers:' .. j.lane) == 0 then unserved[#unserved + 1] = j.lane end
  end
end
if #unserved > 1 then return unserved end

local answer, rings, unseen = {'ok', tostring(T), num(epoch(), 0)}, {}, false
local place = math.max(MICROS, num(call('GET', K .. 'place'), 0) + 1)
for n = 1, count do
  local job = jobs[n]
  local j = job.j
  -- The same id twice in one call: the second is a repeat of the first.
  if j and call('EXISTS', K .. 'job:' .. j.id) == 1 then
    job.doc = call('HGET', K .. 'job:' .. j.id, 'doc')
  elseif j then
    j.submitted_at = T
    j.place = string.format('%d.%06d', math.floor(place / 1000000), place % 1000000)
    place = place + 1
    if inbox ~= '' then j.inbox = inbox end
    if j.queue_timeout then
      call('ZADD', K .. 'due', T + j.queue_timeout, 'queue ' .. j.id)
    end
    move(j, 'queued')
    call('ZADD', K .. 'ids', 0, j.id)
    job.doc = cjson.encode(j)
    call('HSET', K .. 'job:' .. j.id, 'spec', job.spec, 'doc', job.doc)
    if call('SADD', K .. 'lanes', j.lane) == 1 then
      call('INCR', K .. 'lanes:version')
      unseen = true
    end
    line_up(j)
    announce(j)
    local wish = j.lane .. ' ' .. table.concat(j.prefer or {}, ' ')
    if not rings[wish] then
      rings[wish] = {lane = j.lane, prefer = j.prefer, count = 0}
      rings[#rings + 1] = rings[wish]
    end
    rings[wish].count = rings[wish].count + 1
  end
  answer[n + 3] = job.doc
end
call('SET', K .. 'place', string.format('%d', place - 1))
for _, r in ipairs(rings) do ring(r.lane, r.count, r.prefer) end
-- Each worker has to say whether it serves a lane it has not seen.
if unseen then
  for _, name in ipairs(call('HKEYS', K .. 'workers')) do nudge(name) end
end
return answer
