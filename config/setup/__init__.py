"""Adds gatepost to a running mail server, and removes it again."""
