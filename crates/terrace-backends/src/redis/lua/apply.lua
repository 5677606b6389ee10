-- Checks that some keys are as they were read, and applies writes whose conditions hold, in order.
-- KEYS: a key a check; a key and its index a write.
-- ARGV: how many of each; namespace and version a check; kind, namespace, name, condition, version, end, size and
-- record a write. Conditions: * none, 0 absent, = this version, > carries this version.
local checks, writes = tonumber(ARGV[7]), tonumber(ARGV[8])
local k, a = 6, 8
for _ = 1, checks do
  local found = look(KEYS[k + 1], ARGV[a + 1])
  if (found and found.live and found.version or '') ~= ARGV[a + 2] then
    return false
  end
  k, a = k + 1, a + 2
end

local outcomes = {}
for i = 1, writes do
  local key, index = KEYS[k + 1], KEYS[k + 2]
  local kind, space, name, condition = ARGV[a + 1], ARGV[a + 2], ARGV[a + 3], ARGV[a + 4]
  local given, over, size, record = ARGV[a + 5], ARGV[a + 6], ARGV[a + 7], ARGV[a + 8]
  k, a = k + 2, a + 8
  local flat = space .. name
  local found = look(key, space)
  local current = found and found.live and found.version or ''
  local met = true
  if condition == '0' then
    met = current == ''
  elseif condition == '=' then
    met = current == given
  elseif condition == '>' then
    met = given > floor_of(space) and not (found and found.version >= given)
  end
  if not met then
    outcomes[i] = 'C' .. current
  else
    local version = given
    if condition == '>' then
      raise(version)
    else
      version = draw()
    end
    if kind == 'P' then
      redis.call('SET', key, 'E' .. version .. over .. size .. record)
      local grown = tonumber(size)
      if found and found.counted then
        grown = grown - found.size
      else
        redis.call('ZADD', index, 0, name)
      end
      redis.call('HINCRBY', sizes, space, grown)
      if over ~= ZERO then
        redis.call('ZADD', ends, over, flat)
      elseif found and found.kind == 'E' and found.ends ~= ZERO then
        redis.call('ZREM', ends, flat)
      end
      if found and found.kind == 'T' then
        redis.call('ZREM', graves, flat)
      end
    else
      if found and found.counted then
        uncount(found, index, space, name)
      end
      if found and found.kind == 'E' and found.ends ~= ZERO then
        redis.call('ZREM', ends, flat)
      end
      entomb(key, flat, version)
    end
    tell(kind, version, flat)
    outcomes[i] = 'S' .. version .. (current == '' and '0' or '1')
  end
end
return outcomes
