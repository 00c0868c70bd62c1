-- At its memory limit Redis refuses a script whose first write could need room, and asks no more after one that cannot.
-- Whatever is no submission must go through: pulses and finishes make room.
redis.call('DEL', 'relayq:nothing')

