"""Accounts: names, fields, suspensions, graduation, notices."""
