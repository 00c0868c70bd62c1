-- ── claims ──────────────────────────────────────────────────────────────────

-- The jobs this worker could not start lately, or nil.
local function left_out(w)
  if w.left_out_until <= T then return nil end
  local ids = {}
  for _, id in ipairs(call('ZRANGEBYSCORE', K .. 'left_out:' .. w.name, string.format('(%.3f', T), '+inf')) do
    ids[id] = true
  end
  return ids
end

local function best_waiting(lanes, without)
  local best, best_order, from
  for _, lane in ipairs(lanes) do
    local head = call('ZRANGE', K .. 'lane:' .. lane, 0, without and 49 or 0, 'WITHSCORES')
    for i = 1, #head, 2 do
      if not (without and without[head[i]]) then
        if not best or tonumber(head[i + 1]) < best_order then
          best, best_order, from = head[i], tonumber(head[i + 1]), lane
        end
        break
      end
    end
  end
  return best, best_order, from
end

-- The owner of an offered attempt is lost for good to this worker: it has had unbroken contact for that attempt's term.
local function may_judge(w, a) return a.worker ~= w.name and T - w.contact_since >= term(a.claimed_at) end

local function offered(visit)
  if call('ZCARD', K .. 'offers') == 0 then return nil end
  for _, id in ipairs(call('ZRANGE', K .. 'offers', 0, 199)) do
    local j = load(id)
    if j and visit(j, current(j)) then return j end
  end
end

-- An offered job this worker may take.
local function best_offered(w, lanes, without)
  local serves = {}
  local j = offered(function(j, a)
    if #lanes > 0 and not next(serves) then
      for _, lane in ipairs(lanes) do serves[lane] = true end
    end
    return serves[j.lane] and may_judge(w, a) and not (without and without[j.id])
  end)
  return j, j and tonumber(order(j))
end

-- An offered job that nobody is to run again ends; what is left of it is claimed.
local function supersede(j)
  close_attempt(j, {reason = 'worker_lost'})
  j.losses = j.losses + 1
  if j.cancel_requested_at then
    end_job(j, 'cancelled', 'cancelled')
  elseif j.on_lost == 'fail' then
    end_job(j, 'failed', 'worker_lost')
  elseif j.losses >= j.max_losses then
    end_job(j, 'failed', 'poison')
  else
    return true
  end
end

-- Ends offered jobs that need no taker: also those which no other machine may run.
local function judge_offers(w)
  offered(function(j, a)
    if (j.cancel_requested_at or j.on_lost == 'fail') and may_judge(w, a) then supersede(j) end
  end)
end

-- A ring is answered, if in vain: how many seconds after it, or nil.
local function answered(worker)
  local at = call('HGET', K .. 'worker:' .. worker, 'rung_at')
  if at then call('HDEL', K .. 'worker:' .. worker, 'rung_at') end
  return at and string.format('%.3f', T - tonumber(at))
end

local function begin_next(j, worker, nonce)
  local a = current(j)
  local doc = begin(j, worker, a and a.number + 1 or 1, nonce, T, answered(worker))
  return {call('HGET', K .. 'job:' .. j.id, 'spec'), doc, tostring(LEASE_FLOOR)}
end

-- Whether lighter machines have just been rung, and have room for all light work that waits: then it is left to them. A
-- wish for this worker comes before that.
local function leaves(w, lane, j)
  local mine = heaviness(w, lane)
  if preference(w, j.prefer) > 0 then return false end
  local room, waiting, seen = nil, 0, {}
  for _, name in ipairs(mine > -1 and not has_rule(lane) and call('SMEMBERS', K .. 'servers:' .. lane) or {}) do
    local rung = call('HGET', K .. 'worker:' .. name, 'rung_at')
    if rung and math.abs(T - tonumber(rung)) < LEASE_FLOOR / 15 then
      local other = worker_named(name)
      if other.online and not other.resting and heaviness(other, lane) < mine then
        room = (room or 0) + math.max(0, free_slots(other))
        for _, served in ipairs(call('SMEMBERS', K .. 'serves:' .. name)) do
          if not seen[served] then waiting = waiting + call('ZCARD', K .. 'lane:' .. served) end
          seen[served] = true
        end
      end
    end
  end
  return room and waiting <= room
end

-- The best job this worker may run now, or nil.
local function claim(w, nonce)
  if settling(w) then return nil end
  pass_time()
  if w.resting or free_slots(w) <= 0 then return nil end
  local lanes, without = open_lanes(w.name), left_out(w)
  while true do
    local id, o, lane = best_waiting(lanes, without)
    local lost, lost_order = best_offered(w, lanes, without)
    if lost and (not id or lost_order < o) then
      if supersede(lost) then return begin_next(lost, w.name, nonce) end
    elseif id then
      local j = load(id)
      if j and j.state == 'queued' and leaves(w, lane, j) then
        local others = {}
        for _, each in ipairs(lanes) do
          if each ~= lane then others[#others + 1] = each end
        end
        lanes = others
      else
        call('ZREM', K .. 'lane:' .. lane, id)
        if j and j.state == 'queued' then return begin_next(j, w.name, nonce) end
      end
    else
      answered(w.name)
      return nil
    end
  end
end

-- Rings may be lost: whoever is free and finds work waiting rings its own bell. Whether work waits.
local function ring_own(w)
  local free = free_slots(w)
  if w.resting or free <= 0 or not w.queue or settling(w) then return false end
  local lanes, without, count = open_lanes(w.name), left_out(w), 0
  for _, lane in ipairs(lanes) do
    count = count + call('ZCARD', K .. 'lane:' .. lane)
    for id in pairs(without or {}) do
      if call('ZSCORE', K .. 'lane:' .. lane, id) then count = count - 1 end
    end
  end
  if best_offered(w, lanes, without) then count = count + 1 end
  for _ = 1, math.min(count, free) - call('LLEN', w.queue) do
    call('LPUSH', w.queue, w.ring)
    call('HSETNX', K .. 'worker:' .. w.name, 'rung_at', tostring(T))
  end
  return count > 0
end

-- The job claimed before with this nonce: a repeated call gets the same answer.
local function claimed_before(worker, nonce)
  for _, id in ipairs(call('ZRANGE', K .. 'held:' .. worker, 0, -1)) do
    local j = load(id)
    local a = j and current(j)
    if a and a.nonce == nonce then
      local left = renew(j, a)
      return {call('HGET', K .. 'job:' .. id, 'spec'), cjson.encode(j), tostring(left)}
    end
  end
end
