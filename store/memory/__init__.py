"""The copy of accounts and exemptions that each service keeps in memory."""
