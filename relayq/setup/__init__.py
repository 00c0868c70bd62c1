"""Makes a machine a broker or a worker, and undoes it. The shell scripts call this; nothing else installs anything."""
