"""Adds gatepost to a mail server that already runs, and takes it out again."""
