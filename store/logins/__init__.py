"""Passwords, and the budgets that limit guessing."""
