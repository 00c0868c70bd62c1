"""The live view in the terminal; alone needs Textual (the extra "top")."""
