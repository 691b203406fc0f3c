"""Measuring the files in a MIME message as it streams past."""
