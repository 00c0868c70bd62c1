-- ── epochs ──────────────────────────────────────────────────────────────────
--
-- An epoch is a time in which the store forgets nothing and its clock only goes on. When Redis is another process than
-- before (it may have lost its last second), or its clock jumped, or nobody pulsed for a lease's floor, a new one
-- begins: every lease starts anew, and before anything is claimed the workers say what they run (P7).

local EPOCH = K .. 'epoch'
local GRANTS = 3 -- new leases in a row for an owner that stays silent

-- What is due at an instant of a clock that has been put back comes as much earlier. While nobody could have taken
-- it, no job has been waiting: its patience is put off.
local function shift_instants(by)
  for _, entry in ipairs(call('ZRANGE', K .. 'due', 0, -1)) do
    local what, id = string.match(entry, '^(%a+) (.*)$')
    if what == 'queue' or (what == 'retry' and by < 0) then call('ZINCRBY', K .. 'due', tostring(by), entry) end
    if what == 'retry' and by < 0 then
      local j = load(id)
      if j and j.not_before then
        j.not_before = math.floor((j.not_before + by) * 1000 + 0.5) / 1000
        save(j)
      end
    end
  end
end

local function begin_epoch(run_id, last)
  call('HINCRBY', EPOCH, 'number', 1)
  call('HSET', EPOCH, 'run_id', run_id, 'settled_at', tostring(T + LEASE_FLOOR * 3 / 15))
  call('DEL', K .. 'silent')
  local by = last and math.min(0, T - last) or 0
  local grants = {}
  for _, name in ipairs(call('HKEYS', K .. 'workers')) do
    local key = K .. 'worker:' .. name
    local w = call('HMGET', key, 'seen_at', 'grants', 'paused_until', 'left_at')
    local seen = num(w[1] or nil, 0)
    if last and last - seen <= LEASE_FLOOR * 12 / 15 and (w[4] or '') == '' then call('SADD', K .. 'silent', name) end
    grants[name] = num(w[2] or nil, 0) + 1
    call('HSET', key, 'grants', grants[name], 'contact_since', tostring(T), 'seen_at', tostring(math.min(seen, T)))
    if w[3] then call('HSET', key, 'paused_until', tostring(tonumber(w[3]) + by)) end
  end
  for _, id in ipairs(call('ZRANGE', K .. 'state:running', 0, -1)) do
    local j = load(id)
    local a = j and current(j)
    if a and (grants[a.worker] or 0) <= GRANTS then renew(j, a) end
  end
  local gap = last and T - last or 0
  if by < 0 then shift_instants(by) elseif gap > LEASE_FLOOR * 5 / 15 then shift_instants(gap) end
end

-- Asked by every pulse, and by the first call of each script after a start of Redis, which forgets its scripts.
local function look_for_epoch(pulse)
  local e = call('HMGET', EPOCH, 'run_id', 'pulse_at')
  local run_id, last = string.match(call('INFO', 'server'), 'run_id:(%w+)'), tonumber(e[2] or nil)
  local jumped = pulse and last and (T < last - 1 or T - last > LEASE_FLOOR)
  if e[1] ~= run_id or jumped then begin_epoch(run_id, last) end
  if pulse then call('HSET', EPOCH, 'pulse_at', tostring(T)) end
end

local function epoch() return call('HGET', EPOCH, 'number') end

-- This worker has said what it runs.
local function has_announced(name)
  call('HSET', K .. 'worker:' .. name, 'epoch', epoch())
  call('SREM', K .. 'silent', name)
end

-- Whether claims have to wait: for this worker's word, or (a moment only) for that of others.
local function settling(w)
  return w.epoch ~= epoch() or unsettled()
end

-- A worker runs this attempt, or has just run it, for `age` seconds (or '') by its own clock: so the attempt was claimed,
-- whatever this clock has done since. If the store has forgotten the claim, it remembers now. The job, if the attempt
-- counts; nil if a newer one does, or the job has ended; false if there is no such job.
local function announced(name, id, number, nonce, age)
  local j = load(id)
  if not j then return false end
  local a = current(j)
  local claimed_at = age ~= '' and math.floor((T - tonumber(age)) * 1000 + 0.5) / 1000 or nil
  if is_current(j, number, nonce) then
    if claimed_at and math.abs(a.claimed_at - claimed_at) > 1 then
      a.claimed_at = claimed_at
      call('ZADD', K .. 'held:' .. a.worker, claimed_at, id)
      save(j)
    end
    return j
  end
  if ended(j) or (a and a.number >= number) then return nil end
  if j.state == 'running' then
    close_attempt(j, {reason = 'worker_lost'})
    j.losses = j.losses + 1
  else
    call('ZREM', K .. 'lane:' .. j.lane, id)
    call('ZREM', K .. 'due', 'retry ' .. id, 'queue ' .. id)
  end
  begin(j, name, number, nonce, claimed_at or T)
  return j
end

if KEYS[1] then look_for_epoch(false) end

