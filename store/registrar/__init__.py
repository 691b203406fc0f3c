"""Import and export of account files: parse, plan, write."""
