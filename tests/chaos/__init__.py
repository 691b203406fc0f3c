"""Faults on purpose: processes killed, stores stopped, peers that misbehave."""
