-- A version between what was written before and what will be.
return draw()
