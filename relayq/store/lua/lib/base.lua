-- What every script shares: clock, records, indexes, workers and their bells. The rules are those of lifecycle.py.
-- lib/*.lua stand before each script, in the order of redis.py `PARTS`.
--
-- Keys (all begin with "relayq:")
--   schema             string   major version of this layout
--   place              string   the last place in line given out (microseconds since the epoch)
--   job:ID             hash     spec (JSON, never changes), doc (JSON, everything else). In the doc an attempt's `o` is
--                               the state of its output: {end of stdout, end of stderr, head bytes,
--                               head pieces, tail bytes, tail pieces dropped}
--   ids                zset     every job id, score 0: found by prefix
--   state:STATE        zset     job id → place
--   lately             list     ids of the hundred jobs that ended last, newest first
--   ran:WORKER         zset     job id → place, of jobs that worker has claimed
--   lane:LANE          zset     claimable job id → order
--   lanes              set      every lane; lanes:version counts its changes
--   servers:LANE       set      workers that may run its jobs;  serves:WORKER the other way round
--   lacks:LANE         hash     worker → what it lacks of the lane's rule: 1 its labels, 2 its programs, 3 both
--   offers             zset     job id of an expired attempt → order
--   due                zset     what time alone will bring about: "lease ID" → until when its attempt belongs to its
--                               worker, "retry ID" → not before, "queue ID" → end of its queue_timeout
--   held:WORKER        zset     job id of an attempt it holds → claimed at
--   workers            hash     name → what it said of itself (JSON)
--   worker:NAME        hash     incarnation, slots, offers, labels, seen_at, contact_since, load, queue, ring, channel, nudge;
--                               paused (JSON), paused_until; quarantined (JSON); held_back (why it takes nothing by its
--                               own choice); misstarts (jobs in a row it could not start); left_out_until;
--                               reprobe (JSON: it is to look at its machine again);
--                               epoch in which it has said what it runs; grants (new leases since it was heard);
--                               readings (JSON: how its machine is); rung_at (the ring it has not answered yet)
--   beats:NAME         hash     quarter hour (since the epoch) → milliseconds it was there; since: the first of all
--   left_out:NAME      zset     job id that worker could not start → until when it is not given that job again
--   epoch              hash     number, run_id of the Redis process, pulse_at (the last pulse of anyone), settled_at
--   silent             set      workers that were there when the epoch began and have not yet said what they run
--   events             stream   one entry a change, trimmed
--   watch:ID           hash     inbox → "end" or "out": whom to tell of its end, or of its output as well
--   inbox:SESSION      stream   what a client waits for; expires by itself
--   out:ID:N:h, :t     list     output of attempt N, head and tail, as "stream:offset:bytes"
--   outputs            zset     "ID:attempts:bytes" of ended jobs → ended at;  output_bytes their sum and the running ones'
--   replies            zset     job id whose 1.x answer is to be written → ended at
--   full               string   set while the broker is close to its memory limit
--
-- KEYS[1] is given when the script was not loaded yet: Redis may be another process than before.
-- ARGV of every script: [1] the time, or '' for the server's own; [2] lease floor; [3] seconds a finished job is
-- kept; [4] bytes all output may take; from [5] its own.

local SCHEMA = '1'
local K = 'relayq:'
local call = redis.call
local LEASE_FLOOR, KEEP, OUTPUT_BUDGET = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local HANDING_OVER = 120 -- seconds for which a worker that says goodbye keeps its attempts
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
-- `left`: it has said goodbye since.
local function online(seen_at, left)
  return seen_at and (left or '') == '' and T - tonumber(seen_at) <= LEASE_FLOOR * 12 / 15
end

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

-- A change, for who follows all of them; `why` and `value` say more: 'lost' of a lease that ran out, 'rung' how many
-- seconds after its ring a worker claimed the job.
local function announce(j, why, value)
  local a = current(j)
  local entry = {'job', j.id, 'what', j.state, 'worker', a and a.worker or ''}
  if why then entry[7], entry[8] = why, value end
  call('XADD', K .. 'events', 'MAXLEN', '~', 10000, '*', unpack(entry))
end

-- ── workers ─────────────────────────────────────────────────────────────────

-- A worker as the scripts see it. `resting`: it takes nothing new (paused, quarantined, or holding back by itself).
local function worker_named(name)
  local v = call('HMGET', K .. 'worker:' .. name, 'incarnation', 'slots', 'seen_at', 'contact_since', 'queue', 'ring',
    'paused', 'paused_until', 'quarantined', 'held_back', 'left_out_until', 'offers', 'misstarts', 'epoch', 'left_at',
    'labels')
  return {
    name = name, incarnation = v[1], slots = num(v[2], 0), seen_at = tonumber(v[3] or nil),
    contact_since = num(v[4] or nil, T), queue = v[5], ring = v[6],
    resting = (v[7] and T < num(v[8] or nil, math.huge)) or v[9] or v[10],
    left_out_until = num(v[11] or nil, 0), offers = v[12] or '', misstarts = v[13], epoch = v[14],
    online = online(v[3], v[15]), labels = v[16] or '',
  }
end

-- What a worker says of itself, and its words for wishes.
local function describe(info, text)
  local offers = {'', info.name}
  for _, list in ipairs({info.labels, info.capabilities}) do
    for _, word in ipairs(list) do offers[#offers + 1] = word end
  end
  offers[#offers + 1] = ''
  call('HSET', K .. 'workers', info.name, text)
  local labels = ' ' .. table.concat(info.labels or {}, ' ') .. ' '
  call('HSET', K .. 'worker:' .. info.name, 'offers', table.concat(offers, ' '), 'labels', labels)
end

local function free_slots(w) return w.slots - call('ZCARD', K .. 'held:' .. w.name) end

-- ── rules: who goes first, as in placement.py ───────────────────────────────

local RECENT = 600 -- seconds that a label of a rule binds after a worker that carries it was last there

local function has_rule(lane) return string.find(lane, 'with:', 1, true) or string.find(lane, 'first:', 1, true) end

local function lacks(name, lane) return num(call('HGET', K .. 'lacks:' .. lane, name) or nil, 0) end

-- Whether a rule lets others go before this worker, so that it may not take jobs of the lane now.
local function held_off(name, lane)
  if not has_rule(lane) then return false end
  local mine = lacks(name, lane)
  if mine == 0 then return false end
  for _, other in ipairs(call('SMEMBERS', K .. 'servers:' .. lane)) do
    local theirs = lacks(other, lane)
    if mine >= 2 and theirs < 2 then return true end
    if mine % 2 == 1 and theirs == mine - 1 then
      local seen = call('HGET', K .. 'worker:' .. other, 'seen_at')
      if seen and T - tonumber(seen) <= RECENT then return true end
    end
  end
  return false
end

-- The lanes from which this worker may take jobs now.
local function open_lanes(name)
  local lanes = {}
  for _, lane in ipairs(call('SMEMBERS', K .. 'serves:' .. name)) do
    if not held_off(name, lane) then lanes[#lanes + 1] = lane end
  end
  return lanes
end

-- Light work goes to light machines first. Wishes and rules say more.
local function heaviness(w, lane)
  if has_rule(lane) then return 0 end
  local function carries(label) return string.find(w.labels, ' ' .. label .. ' ', 1, true) and 1 or 0 end
  return carries('heavy') - carries('light')
end

-- How many of the wished-for words this worker is, or has.
local function preference(w, prefer)
  local n = 0
  for _, word in ipairs(prefer or {}) do
    if string.find(w.offers, ' ' .. word .. ' ', 1, true) then n = n + 1 end
  end
  return n
end

-- Rings are pushed to preferred workers first, then to light machines, then to those with the most free slots; at most
-- one waiting ring a free slot.
local function ring(lane, count, prefer)
  local free = {}
  for _, name in ipairs(call('SMEMBERS', K .. 'servers:' .. lane)) do
    local w = worker_named(name)
    if w.online and not w.resting and w.queue and not held_off(name, lane) then
      w.free = free_slots(w) - call('LLEN', w.queue)
      w.liked = preference(w, prefer)
      w.heaviness = heaviness(w, lane)
      if w.free > 0 then free[#free + 1] = w end
    end
  end
  while count > 0 and #free > 0 do
    table.sort(free, function(a, b)
      if a.liked ~= b.liked then return a.liked > b.liked end
      if a.heaviness ~= b.heaviness then return a.heaviness < b.heaviness end
      if a.free ~= b.free then return a.free > b.free end
      return a.name < b.name
    end)
    call('LPUSH', free[1].queue, free[1].ring)
    call('HSETNX', K .. 'worker:' .. free[1].name, 'rung_at', tostring(T))
    free[1].free = free[1].free - 1
    count = count - 1
    if free[1].free == 0 then table.remove(free, 1) end
  end
end

-- Somebody has to look now: at a running attempt, or at a new lane.
local function nudge(name)
  local w = call('HMGET', K .. 'worker:' .. name, 'channel', 'nudge')
  if w[1] then call('PUBLISH', w[1], w[2]) end
end

local function line_up(j)
  call('ZADD', K .. 'lane:' .. j.lane, order(j), j.id)
end

