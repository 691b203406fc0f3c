"""Settings: what an admin edits, and the code that reads it."""
