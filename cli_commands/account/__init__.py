"""The commands of ``gatepost account``."""
