-- Removes every entry of some namespaces at once: a floor buries them, and what they leave is purged by sweeps.
-- KEYS: the index and the heap of each namespace. ARGV: whether they are all there are, how many, each one's prefix.
local all, count = ARGV[7] == '1', tonumber(ARGV[8])
if all then
  local there = redis.call('HLEN', sizes)
  for i = 1, count do
    there = there - redis.call('HEXISTS', sizes, ARGV[8 + i])
  end
  if there ~= 0 then
    return false
  end
end
local live = 0
for i = 1, count do
  local index, heap, space = KEYS[5 + 2 * i], KEYS[6 + 2 * i], ARGV[8 + i]
  live = live + redis.call('ZCARD', index)
  for _, flat in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', now)) do
    if sub(flat, 1, #space) == space and redis.call('ZSCORE', index, sub(flat, #space + 1)) then
      live = live - 1
    end
  end
  if redis.call('EXISTS', index) == 1 then
    redis.call('RENAME', index, heap)
    redis.call('HSET', heaps, heap, space)
  end
  redis.call('HDEL', sizes, space)
end
local version = draw()
if all then
  redis.call('HSET', floors, '', version .. forget)
  tell('A', version, '')
else
  redis.call('HSET', floors, ARGV[9], version .. forget)
  tell('C', version, ARGV[9])
end
return live
