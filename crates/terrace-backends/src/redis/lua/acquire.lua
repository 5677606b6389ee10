-- Grants a lease that nobody holds, with a token above all earlier ones; false if somebody does.
-- KEYS: the lease, the last token. ARGV: who asks, for how many milliseconds, the token it knows for its own, whether
-- that one is over by its own clock, and how long what nobody renews is remembered.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local held = redis.call('HMGET', KEYS[1], 'holder', 'token', 'ends')
if held[1] then
  local over = tonumber(held[3]) <= now
  if held[1] == ARGV[1] and held[2] == ARGV[3] then
    over = ARGV[4] == '1'
  end
  if not over then
    return false
  end
end
local token = redis.call('INCR', KEYS[2])
local ends = now + tonumber(ARGV[2])
redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'token', token, 'ends', string.format('%.0f', ends))
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', ends + tonumber(ARGV[5])))
return token
