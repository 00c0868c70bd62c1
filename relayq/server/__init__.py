"""What the broker's machine answers over HTTP: joining, and what joining machines install."""
