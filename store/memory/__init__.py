"""The copy of people and exemptions that each service keeps in memory."""
