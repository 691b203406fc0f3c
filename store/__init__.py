"""The shared SQL store: accounts, exemptions, counters. The only place that knows SQL."""
