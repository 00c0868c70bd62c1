-- The number of the current epoch: a change means that the store may have forgotten something.
return num(epoch(), 0)
