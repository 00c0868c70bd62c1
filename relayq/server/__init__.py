"""What the broker's machine answers over HTTP: the dashboard, its API, and the machines that join."""
