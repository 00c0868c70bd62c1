-- What every script shares: clock, records, indexes, lines, bells. The rules are those of lifecycle.py.
--
-- Keys (all begin with "relayq:")
--   schema             string   major version of this layout
--   place              string   the last place in line given out (microseconds since the epoch)
--   job:ID             hash     spec (JSON, never changes), doc (JSON, everything else), progress (JSON). In the doc an
--                               attempt's `o` is the state of its output: {end of stdout, end of stderr, head bytes,
--                               head pieces, tail bytes, tail pieces dropped}
--   ids                zset     every job id, score 0: found by prefix
--   state:STATE        zset     job id → place
--   ran:WORKER         zset     job id → place, of jobs that worker has claimed
--   lane:LANE          zset     claimable job id → order
--   lanes              set      every lane; lanes:version counts its changes
--   servers:LANE       set      workers that may run its jobs;  serves:WORKER the other way round
--   offers             zset     job id of an expired attempt → order
--   due                zset     what time alone will bring about: "lease ID" → until when its attempt belongs to its
--                               worker, "retry ID" → not before, "queue ID" → end of its queue_timeout
--   held:WORKER        zset     job id of an attempt it holds → claimed at
--   workers            hash     name → what it said of itself (JSON)
--   worker:NAME        hash     incarnation, slots, seen_at, contact_since, paused, load, queue, ring, channel, nudge
--   events             stream   one entry a change, trimmed
--   watch:ID           hash     inbox → "end" or "out": whom to tell of its end, or of its output as well
--   inbox:SESSION      stream   what a client waits for; expires by itself
--   out:ID:N:h, :t     list     output of attempt N, head and tail, as "stream:offset:bytes"
--   outputs            zset     "ID:attempts:bytes" of ended jobs → ended at;  output_bytes their sum and the running ones'
--   replies            zset     job id whose 1.x answer is to be written → ended at
--   full               string   set while the broker is close to its memory limit
--
-- ARGV of every script: [1] the time, or '' for the server's own; [2] lease floor; [3] seconds a finished job is
-- kept; [4] bytes all output may take; from [5] its own.

local SCHEMA = '1'
local K = 'relayq:'
local call = redis.call
local LEASE_FLOOR, KEEP, OUTPUT_BUDGET = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local T, MICROS
if ARGV[1] ~= '' then
  T = tonumber(ARGV[1])
  MICROS = math.floor(T * 1000000)
else
  local t = call('TIME')
  MICROS = tonumber(t[1]) * 1000000 + tonumber(t[2])
  T = math.floor(MICROS / 1000) / 1000
end

local schema = call('GET', K .. 'schema')
if not schema then
  call('SET', K .. 'schema', SCHEMA)
elseif schema ~= SCHEMA then
  return redis.error_reply('SCHEMA ' .. schema)
end

local function num(x, default) return tonumber(x) or default end
local function ended(j) return j.state ~= 'queued' and j.state ~= 'running' end
local function current(j) return j.attempts and j.attempts[#j.attempts] end
local function order(j) return string.format('%.6f', tonumber(j.place) - 60 * j.priority) end
local function term(claimed_at) return math.min(math.max(LEASE_FLOOR, (T - claimed_at) / 10), LEASE_FLOOR * 40) end
local function online(seen_at) return seen_at and T - tonumber(seen_at) <= LEASE_FLOOR * 12 / 15 end

local function load(id)
  local doc = call('HGET', K .. 'job:' .. id, 'doc')
  return doc and cjson.decode(doc)
end
local function save(j)
  local doc = cjson.encode(j)
  call('HSET', K .. 'job:' .. j.id, 'doc', doc)
  return doc
end

local function move(j, state)
  if j.state then call('ZREM', K .. 'state:' .. j.state, j.id) end
  j.state = state
  call('ZADD', K .. 'state:' .. state, j.place, j.id)
end

local function tell(inboxes, ...)
  for _, inbox in ipairs(inboxes) do
    call('XADD', K .. 'inbox:' .. inbox, 'MAXLEN', '~', 4000, '*', ...)
    call('EXPIRE', K .. 'inbox:' .. inbox, 3600)
  end
end

local function announce(j)
  local a = current(j)
  call('XADD', K .. 'events', 'MAXLEN', '~', 10000, '*', 'job', j.id, 'what', j.state, 'worker', a and a.worker or '')
end

-- Rings are pushed to the workers with the most free slots, at most one waiting ring a free slot.
local function ring(lane, count)
  local free = {}
  for _, name in ipairs(call('SMEMBERS', K .. 'servers:' .. lane)) do
    local w = call('HMGET', K .. 'worker:' .. name, 'seen_at', 'paused', 'slots', 'queue', 'ring')
    if online(w[1]) and not w[2] and w[4] then
      local n = num(w[3], 0) - call('ZCARD', K .. 'held:' .. name) - call('LLEN', w[4])
      if n > 0 then free[#free + 1] = {n, name, w[4], w[5]} end
    end
  end
  while count > 0 and #free > 0 do
    table.sort(free, function(a, b) return a[1] > b[1] or (a[1] == b[1] and a[2] < b[2]) end)
    call('LPUSH', free[1][3], free[1][4])
    free[1][1] = free[1][1] - 1
    count = count - 1
    if free[1][1] == 0 then table.remove(free, 1) end
  end
end

local function nudge(name)
  local w = call('HMGET', K .. 'worker:' .. name, 'channel', 'nudge')
  if w[1] then call('PUBLISH', w[1], w[2]) end
end

local function line_up(j)
  call('ZADD', K .. 'lane:' .. j.lane, order(j), j.id)
end

-- ── output ──────────────────────────────────────────────────────────────────

local function out_key(id, n, part) return K .. 'out:' .. id .. ':' .. n .. ':' .. part end

local function drop_output(j, a)
  local m = a.o
  if m and m[3] + m[5] > 0 then
    call('DEL', out_key(j.id, a.number, 'h'), out_key(j.id, a.number, 't'))
    call('DECRBY', K .. 'output_bytes', m[3] + m[5])
  end
  a.o = nil
end

local function within_budget(total)
  while total > OUTPUT_BUDGET do
    local oldest = call('ZPOPMIN', K .. 'outputs')[1]
    if not oldest then return end
    local id, attempts, bytes = string.match(oldest, '^(.*):(%d+):(%d+)$')
    for n = 1, tonumber(attempts) do call('DEL', out_key(id, n, 'h'), out_key(id, n, 't')) end
    total = call('INCRBY', K .. 'output_bytes', -tonumber(bytes))
    local j = load(id)
    if j then
      j.output_dropped = true
      save(j)
    end
  end
end

-- Appends chunks ARGV[i], ARGV[i+1], … = stream, offset, bytes, …; what was said before is skipped. The caller saves j.
local function append(j, a, i, count)
  local id, n = j.id, a.number
  local m = a.o or {0, 0, 0, 0, 0, 0}
  a.o = m
  local half = math.floor(j.max_output_bytes / 2)
  local head, tail = out_key(id, n, 'h'), out_key(id, n, 't')
  local before = m[3] + m[5]
  for _ = 1, count do
    local stream, offset, data = tonumber(ARGV[i]), tonumber(ARGV[i + 1]), ARGV[i + 2]
    i = i + 3
    if offset < m[stream] then
      data = string.sub(data, m[stream] - offset + 1)
      offset = m[stream]
    end
    if #data > 0 then
      m[stream] = offset + #data
      local room = (m[5] == 0 and m[6] == 0) and math.max(0, j.max_output_bytes - half - m[3]) or 0
      if room > 0 then
        local piece = string.sub(data, 1, room)
        call('RPUSH', head, stream .. ':' .. string.format('%d', offset) .. ':' .. piece)
        m[3], m[4] = m[3] + #piece, m[4] + 1
        data, offset = string.sub(data, room + 1), offset + #piece
      end
      if #data > 0 then
        call('RPUSH', tail, stream .. ':' .. string.format('%d', offset) .. ':' .. data)
        m[5] = m[5] + #data
      end
      while m[5] > half do
        local s, o, piece = string.match(call('LPOP', tail), '^(%d):(%d+):(.*)$')
        local excess = m[5] - half
        if #piece <= excess then
          m[5], m[6] = m[5] - #piece, m[6] + 1
        else
          call('LPUSH', tail, s .. ':' .. string.format('%d', o + excess) .. ':' .. string.sub(piece, excess + 1))
          m[5] = half
        end
      end
    end
  end
  local grown = m[3] + m[5] - before
  if grown ~= 0 then
    local total = call('INCRBY', K .. 'output_bytes', grown)
    if total > OUTPUT_BUDGET then within_budget(total) end
  end
end

-- ── transitions ─────────────────────────────────────────────────────────────

local function end_job(j, state, reason, message)
  local id, a = j.id, current(j)
  if j.state == 'queued' then
    call('ZREM', K .. 'lane:' .. j.lane, id)
    call('ZREM', K .. 'due', 'retry ' .. id, 'queue ' .. id)
  end
  move(j, state)
  j.reason, j.message, j.ended_at, j.not_before = reason, message, T, nil
  local inbox, ttl, kept = j.inbox, string.format('%d', KEEP), 0
  -- What only the living need is not kept for a week.
  j.inbox, j.priority, j.retries, j.retry_delay, j.max_losses = nil, nil, nil, nil, nil
  j.on_lost, j.max_output_bytes, j.queue_timeout = nil, nil, nil
  j.lane = nil -- follows from the spec
  if math.floor(tonumber(j.place) * 1000) / 1000 == j.submitted_at then j.submitted_at = nil end -- follows from the place
  if j.losses == 0 then j.losses = nil end
  if j.failures == 0 then j.failures = nil end
  local doc = save(j)
  call('EXPIRE', K .. 'job:' .. id, ttl)
  for _, past in ipairs(a and j.attempts or {}) do
    local m = past.o
    if m then
      kept = kept + m[3] + m[5]
      if m[3] > 0 then call('EXPIRE', out_key(id, past.number, 'h'), ttl) end
      if m[5] > 0 then call('EXPIRE', out_key(id, past.number, 't'), ttl) end
    end
  end
  if kept > 0 then call('ZADD', K .. 'outputs', T, id .. ':' .. a.number .. ':' .. string.format('%d', kept)) end
  if j.celery_id then call('ZADD', K .. 'replies', T, id) end
  announce(j)
  local watchers = call('HKEYS', K .. 'watch:' .. id)
  if #watchers > 0 then call('DEL', K .. 'watch:' .. id) end
  if inbox then watchers[#watchers + 1] = inbox end
  if #watchers > 0 then
    local news, m = {'job', id, 'what', state}, a and a.o or {0, 0, 0, 0, 0, 0}
    -- Small output goes with the news. Lua hands over some thousands of arguments at most.
    if m[3] + m[5] <= 8192 and m[4] <= 400 and m[5] <= 400 then
      news[5], news[6] = 'doc', doc
      for _, part in ipairs({m[3] > 0 and 'h' or nil, m[5] > 0 and 't' or nil}) do
        for _, chunk in ipairs(call('LRANGE', out_key(id, a.number, part), 0, -1)) do
          news[#news + 1] = 'c'
          news[#news + 1] = chunk
        end
      end
    end
    tell(watchers, unpack(news))
  end
end

local function close_attempt(j, outcome)
  local a = current(j)
  a.ended_at, a.outcome = T, outcome
  call('ZREM', K .. 'due', 'lease ' .. j.id)
  call('ZREM', K .. 'held:' .. a.worker, j.id)
  if a.offered_at then call('ZREM', K .. 'offers', j.id) end
end

local function queue_again(j)
  move(j, 'queued')
  if j.not_before then
    call('ZADD', K .. 'due', j.not_before, 'retry ' .. j.id)
  else
    line_up(j)
    ring(j.lane, 1)
  end
  save(j)
  announce(j)
end

local function give_back(j, outcome, lost)
  close_attempt(j, outcome)
  if lost then j.losses = j.losses + 1 end
  if j.cancel_requested_at then return end_job(j, 'cancelled', 'cancelled') end
  if lost and j.on_lost == 'fail' then return end_job(j, 'failed', 'worker_lost') end
  if lost and j.losses >= j.max_losses then return end_job(j, 'failed', 'poison') end
  queue_again(j)
end

local function finish(j, outcome)
  close_attempt(j, outcome)
  local reason = outcome.reason
  if reason == 'exited' and outcome.exit_code == 0 then return end_job(j, 'succeeded', reason) end
  if reason == 'cancelled' or (j.cancel_requested_at and reason ~= 'exited') then
    return end_job(j, 'cancelled', 'cancelled')
  end
  if (reason == 'exited' or reason == 'timed_out') and not j.cancel_requested_at and j.failures < j.retries then
    j.failures = j.failures + 1
    local delay = math.min(j.retry_delay * 2 ^ math.min(j.failures - 1, 30), 300)
    j.not_before = math.floor((T + delay) * 1000 + 0.5) / 1000
    return queue_again(j)
  end
  end_job(j, 'failed', reason, outcome.message)
end

local function cancel(j)
  if ended(j) then return end
  local a = current(j)
  if j.state == 'running' and not a.offered_at then
    if not j.cancel_requested_at then
      j.cancel_requested_at = T
      save(j)
    end
    return nudge(a.worker)
  end
  if j.state == 'running' then close_attempt(j, {reason = 'cancelled'}) end
  j.cancel_requested_at = T
  end_job(j, 'cancelled', 'cancelled')
end

local function renew(j, a)
  if a.offered_at then
    a.offered_at = nil
    call('ZREM', K .. 'offers', j.id)
    save(j)
  end
  local t = term(a.claimed_at)
  call('ZADD', K .. 'due', T + t, 'lease ' .. j.id)
  return t
end

local function lease_over(j)
  local a = current(j)
  if j.state ~= 'running' or j.on_lost == 'wait' or a.offered_at then return end
  a.offered_at = T
  call('ZADD', K .. 'offers', order(j), j.id)
  save(j)
  announce(j)
  ring(j.lane, 1)
end

local function retry_due(j)
  if j.state ~= 'queued' then return end
  j.not_before = nil
  save(j)
  line_up(j)
  ring(j.lane, 1)
end

local function patience_over(j)
  if j.state == 'queued' and not current(j) then end_job(j, 'failed', 'queue_timed_out') end
end

-- What time alone brings about; a few at a time, from every claim and pulse.
local function pass_time()
  local turn = {retry = retry_due, lease = lease_over, queue = patience_over}
  for _, entry in ipairs(call('ZRANGEBYSCORE', K .. 'due', '-inf', T, 'LIMIT', 0, 50)) do
    call('ZREM', K .. 'due', entry)
    local what, id = string.match(entry, '^(%a+) (.*)$')
    local j = load(id)
    if j then turn[what](j) end
  end
end

-- ── claims ──────────────────────────────────────────────────────────────────

local function best_waiting(lanes)
  local best, best_order, from
  for _, lane in ipairs(lanes) do
    local head = call('ZRANGE', K .. 'lane:' .. lane, 0, 0, 'WITHSCORES')
    if head[1] and (not best or tonumber(head[2]) < best_order) then
      best, best_order, from = head[1], tonumber(head[2]), lane
    end
  end
  return best, best_order, from
end

-- An offered job this worker may take: only after unbroken contact for as long as that attempt's term.
local function best_offered(worker, lanes, contact_since)
  if call('ZCARD', K .. 'offers') == 0 then return nil end
  local serves = {}
  for _, lane in ipairs(lanes) do serves[lane] = true end
  for _, id in ipairs(call('ZRANGE', K .. 'offers', 0, 49)) do
    local j = load(id)
    local a = current(j)
    if serves[j.lane] and a.worker ~= worker and T - contact_since >= term(a.claimed_at) then
      return j, tonumber(order(j))
    end
  end
end

local function begin(j, worker, nonce)
  local a = current(j)
  local n = a and a.number + 1 or 1
  if n > 2 then drop_output(j, j.attempts[n - 2]) end
  j.attempts = j.attempts or {}
  j.attempts[#j.attempts + 1] = {number = n, nonce = nonce, worker = worker, claimed_at = T}
  j.not_before = nil
  if j.queue_timeout and n == 1 then call('ZREM', K .. 'due', 'queue ' .. j.id) end
  move(j, 'running')
  call('ZADD', K .. 'due', T + LEASE_FLOOR, 'lease ' .. j.id)
  call('ZADD', K .. 'held:' .. worker, T, j.id)
  call('ZADD', K .. 'ran:' .. worker, j.place, j.id)
  local doc = save(j)
  announce(j)
  return {call('HGET', K .. 'job:' .. j.id, 'spec'), doc, tostring(LEASE_FLOOR)}
end

-- The best job this worker may run now, or nil. `w`: slots, paused, contact_since of the worker.
local function claim(worker, nonce, w)
  pass_time()
  if w[2] or call('ZCARD', K .. 'held:' .. worker) >= num(w[1], 0) then return nil end
  local lanes = call('SMEMBERS', K .. 'serves:' .. worker)
  while true do
    local id, o, lane = best_waiting(lanes)
    local offered, offered_order = best_offered(worker, lanes, num(w[3], T))
    if offered and (not id or offered_order < o) then
      close_attempt(offered, {reason = 'worker_lost'})
      offered.losses = offered.losses + 1
      if offered.cancel_requested_at then
        end_job(offered, 'cancelled', 'cancelled')
      elseif offered.on_lost == 'fail' then
        end_job(offered, 'failed', 'worker_lost')
      elseif offered.losses >= offered.max_losses then
        end_job(offered, 'failed', 'poison')
      else
        return begin(offered, worker, nonce)
      end
    elseif id then
      call('ZREM', K .. 'lane:' .. lane, id)
      local j = load(id)
      if j and j.state == 'queued' then return begin(j, worker, nonce) end
    else
      return nil
    end
  end
end

-- The job claimed before with this nonce: a repeated call gets the same answer.
local function claimed_before(worker, nonce)
  for _, id in ipairs(call('ZRANGE', K .. 'held:' .. worker, 0, -1)) do
    local j = load(id)
    local a = j and current(j)
    if a and a.nonce == nonce then
      return {call('HGET', K .. 'job:' .. id, 'spec'), cjson.encode(j), tostring(term(a.claimed_at))}
    end
  end
end

local function said_before(j, number, nonce, reason)
  for _, a in ipairs(j.attempts or {}) do
    if a.number == number and a.nonce == nonce and a.ended_at then return a.outcome.reason == reason end
  end
  return false
end

local function is_current(j, number, nonce)
  local a = current(j)
  return j.state == 'running' and a.number == number and a.nonce == nonce
end

local function incarnation_of(worker) return call('HGET', K .. 'worker:' .. worker, 'incarnation') end
