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

