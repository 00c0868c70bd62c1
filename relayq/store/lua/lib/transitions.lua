-- ── transitions ─────────────────────────────────────────────────────────────

local LEFT_OUT = 600 -- seconds that a worker which could not start a job is not given that job again
local MISSTARTS = 3 -- so many jobs in a row that a worker cannot start are the worker's doing

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
  j.on_lost, j.max_output_bytes, j.queue_timeout, j.prefer = nil, nil, nil, nil
  if not has_rule(j.lane) then j.lane = nil end -- follows from the spec
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
  call('LPUSH', K .. 'lately', id)
  call('LTRIM', K .. 'lately', 0, 99)
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
  a.ended_at, a.outcome, a.progress, a.note = T, outcome, nil, nil
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
    ring(j.lane, 1, j.prefer)
  end
  save(j)
  announce(j)
end

-- A worker that cannot start a job is left out of that job for a while; one that cannot start several different jobs
-- in a row is quarantined.
local function not_started_by(name, j, outcome)
  local key = K .. 'worker:' .. name
  call('ZADD', K .. 'left_out:' .. name, T + LEFT_OUT, j.id)
  call('EXPIRE', K .. 'left_out:' .. name, LEFT_OUT)
  call('HSET', key, 'left_out_until', tostring(T + LEFT_OUT))
  if call('HINCRBY', key, 'misstarts', 1) >= MISSTARTS and call('HEXISTS', key, 'quarantined') == 0 then
    call('HSET', key, 'quarantined', cjson.encode({why = outcome.message or 'it could not start several jobs', since = T}))
    nudge(name)
  end
end

local function give_back(j, outcome, lost)
  close_attempt(j, outcome)
  if outcome.reason == 'not_started' then not_started_by(current(j).worker, j, outcome) end
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
  local till = j.state == 'running' and call('ZSCORE', K .. 'due', 'lease ' .. j.id)
  if till and tonumber(till) > T and not a.offered_at then
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
  -- Never sooner than its supervisor was told when its last worker said goodbye. (The clock may have jumped since.)
  local kept = a.kept_until and math.min(a.kept_until, T + HANDING_OVER) or 0
  call('ZADD', K .. 'due', math.max(T + t, kept), 'lease ' .. j.id)
  return t
end

-- The job said how far it is. Whether that is news.
local function told(j, text)
  local a, said = current(j), cjson.decode(text)
  if a.progress == said.progress and a.note == said.note then return false end
  a.progress, a.note = said.progress, said.note
  return true
end

local function lease_over(j)
  local a = current(j)
  if j.state ~= 'running' or a.offered_at or (j.on_lost == 'wait' and not j.cancel_requested_at) then return end
  a.offered_at = T
  call('ZADD', K .. 'offers', order(j), j.id)
  save(j)
  announce(j, 'lost', '1')
  ring(j.lane, 1, j.prefer)
end

local function retry_due(j)
  if j.state ~= 'queued' then return end
  j.not_before = nil
  save(j)
  line_up(j)
  ring(j.lane, 1, j.prefer)
end

local function patience_over(j)
  if j.state == 'queued' and not current(j) then end_job(j, 'failed', 'queue_timed_out') end
end

-- A new epoch has begun, and some that were online have not said yet what they run: it may be what seems to wait.
local function unsettled()
  local at = call('HGET', K .. 'epoch', 'settled_at')
  return at and T < tonumber(at) and call('SCARD', K .. 'silent') > 0
end

-- What time alone brings about; a few at a time, from every claim and pulse.
local function pass_time()
  if unsettled() then return end
  local turn = {retry = retry_due, lease = lease_over, queue = patience_over}
  for _, entry in ipairs(call('ZRANGEBYSCORE', K .. 'due', '-inf', T, 'LIMIT', 0, 50)) do
    call('ZREM', K .. 'due', entry)
    local what, id = string.match(entry, '^(%a+) (.*)$')
    local j = load(id)
    if j then turn[what](j) end
  end
end

local function is_current(j, number, nonce)
  local a = current(j)
  return j.state == 'running' and a.number == number and a.nonce == nonce
end

local function said_before(j, number, nonce, reason)
  for _, a in ipairs(j.attempts or {}) do
    if a.number == number and a.nonce == nonce and a.ended_at then return a.outcome.reason == reason end
  end
  return false
end

local function attempt_numbered(j, n)
  for _, a in ipairs(j.attempts or {}) do
    if a.number == n then return a end
  end
end

-- A new attempt, `rung` seconds after its worker was rung; answers the doc.
local function begin(j, worker, number, nonce, claimed_at, rung)
  local old = attempt_numbered(j, number - 2)
  if old then drop_output(j, old) end
  j.attempts = j.attempts or {}
  j.attempts[#j.attempts + 1] = {number = number, nonce = nonce, worker = worker, claimed_at = claimed_at}
  j.not_before = nil
  if j.queue_timeout and #j.attempts == 1 then call('ZREM', K .. 'due', 'queue ' .. j.id) end
  move(j, 'running')
  call('ZADD', K .. 'due', T + term(claimed_at), 'lease ' .. j.id)
  call('ZADD', K .. 'held:' .. worker, claimed_at, j.id)
  call('ZADD', K .. 'ran:' .. worker, j.place, j.id)
  local doc = save(j)
  if rung then announce(j, 'rung', rung) else announce(j) end
  return doc
end
