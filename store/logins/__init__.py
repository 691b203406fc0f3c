"""Passwords, and the budgets that bound guessing."""
