-- Removes what is over of the candidates it is given, up to a limit; those that are not what they seemed are free.
-- KEYS: a key and its index an entry; a key a floor; a key and its heap a name that a clear left.
-- ARGV: the time by which floors are forgotten; the limit; how many of each; namespace and name of each.
local by, limit = ARGV[7], tonumber(ARGV[8])
local entries, tombs, buried = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local k, a = 6, 11
local expired, forgotten, more = 0, 0, 0
-- Whether one more may be removed; notes it where not.
local function may()
  if expired + forgotten < limit then
    return true
  end
  more = 1
  return false
end
for _ = 1, entries do
  local key, index, space, name = KEYS[k + 1], KEYS[k + 2], ARGV[a + 1], ARGV[a + 2]
  k, a = k + 2, a + 2
  local flat = space .. name
  local found = look(key, space)
  if not (found and found.kind == 'E') or found.ends == ZERO then
    redis.call('ZREM', ends, flat)
  elseif found.buried then
    redis.call('ZREM', ends, flat)
    redis.call('DEL', key)
  elseif not found.live and may() then
    redis.call('ZREM', ends, flat)
    uncount(found, index, space, name)
    entomb(key, flat, found.version)
    tell('D', found.version, flat)
    expired = expired + 1
  end
end
for _ = 1, tombs do
  local key, space, name = KEYS[k + 1], ARGV[a + 1], ARGV[a + 2]
  k, a = k + 1, a + 2
  local found = look(key, space)
  if not (found and found.kind == 'T') then
    redis.call('ZREM', graves, space .. name)
  elseif found.ends <= by and may() then
    redis.call('ZREM', graves, space .. name)
    redis.call('DEL', key)
    forgotten = forgotten + 1
  end
end
for _ = 1, buried do
  local key, heap, space, name = KEYS[k + 1], KEYS[k + 2], ARGV[a + 1], ARGV[a + 2]
  k, a = k + 2, a + 2
  local found = look(key, space)
  if found and found.kind == 'E' and found.buried then
    redis.call('UNLINK', key)
    redis.call('ZREM', ends, space .. name)
  end
  redis.call('ZREM', heap, name)
  if redis.call('EXISTS', heap) == 0 then
    redis.call('HDEL', heaps, heap)
  end
end
-- A floor of a namespace is needed as long as anything lies below it.
if redis.call('EXISTS', heaps) == 0 then
  local all = redis.call('HGETALL', floors)
  for i = 1, #all, 2 do
    if sub(all[i + 1], 21, 40) <= by and may() then
      redis.call('HDEL', floors, all[i])
      forgotten = forgotten + 1
    end
  end
end
return { expired, forgotten, more }
