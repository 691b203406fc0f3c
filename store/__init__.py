"""The shared SQL store: people, exemptions, counters. The only place that knows SQL."""
