-- A version between what was written before and what will be; ARGV may have one that it is not to be below.
raise(ARGV[7] or ZERO)
return draw()
