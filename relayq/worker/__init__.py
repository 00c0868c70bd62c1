"""An agent on a machine: claims jobs, has its supervisor run them, and says how they ended."""
