"""The registrar's files: read, planned, written."""
