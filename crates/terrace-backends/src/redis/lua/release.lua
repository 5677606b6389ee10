-- Gives a lease back that nobody else was granted since. KEYS: the lease. ARGV: as for granting.
local held = redis.call('HMGET', KEYS[1], 'holder', 'token')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[3] then
  return 0
end
return redis.call('DEL', KEYS[1])
