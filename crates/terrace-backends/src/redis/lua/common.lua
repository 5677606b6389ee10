-- What every script begins with. Numbers that may pass 2^53 are text of twenty digits, which compares as they do.
local seq, ends, graves, sizes, floors, heaps = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local now, forget, channel = ARGV[1], ARGV[2], ARGV[3]
-- Versions are drawn above this one, and are this number modulo that one: no two parts of a store draw the same.
local above, part, parts = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local ZERO = string.rep('0', 20)
local sub = string.sub

-- What clears left for a namespace: no version at or below it counts.
local known = {}
local function floor_of(space)
  if not known[space] then
    local both = redis.call('HMGET', floors, '', space)
    local all, own = sub(both[1] or ZERO, 1, 20), sub(both[2] or ZERO, 1, 20)
    known[space] = all > own and all or own
  end
  return known[space]
end

-- What the record under a key says of itself; nil if there is none.
local function look(key, space)
  local head = redis.call('GETRANGE', key, 0, 50)
  if #head < 51 then
    return nil
  end
  local found = { kind = sub(head, 1, 1), version = sub(head, 2, 21), ends = sub(head, 22, 41), size = tonumber(sub(head, 42, 51)) }
  found.buried = found.version <= floor_of(space)
  found.counted = found.kind == 'E' and not found.buried
  found.live = found.counted and (found.ends == ZERO or now < found.ends)
  return found
end

-- The next version of the store's sequence.
local function draw()
  local last = redis.call('GET', seq) or ZERO
  if above > last then
    last = above
  end
  local high, low = tonumber(sub(last, 1, 10)), tonumber(sub(last, 11, 20)) + 1
  low = low + (part - low) % parts
  if low >= 1e10 then
    high, low = high + 1, low - 1e10
  end
  local drawn = string.format('%010.0f%010.0f', high, low)
  redis.call('SET', seq, drawn)
  return drawn
end

-- Lets all later versions be above this one.
local function raise(version)
  if version > (redis.call('GET', seq) or ZERO) then
    redis.call('SET', seq, version)
  end
end

-- An entry counts no more.
local function uncount(found, index, space, name)
  redis.call('ZREM', index, name)
  redis.call('HINCRBY', sizes, space, 0 - found.size)
  if redis.call('EXISTS', index) == 0 then
    redis.call('HDEL', sizes, space)
  end
end

-- Leaves a floor in the place of whatever is there.
local function entomb(key, flat, version)
  redis.call('SET', key, 'T' .. version .. forget .. '0000000000')
  redis.call('ZADD', graves, forget, flat)
end

local function tell(kind, version, flat)
  redis.call('PUBLISH', channel, kind .. version .. flat)
end
