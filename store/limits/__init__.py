"""Sending limits: windows, their counters on each database, exemptions."""
