"""The rules, each pure; the first answer wins."""
