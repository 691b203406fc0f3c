"""The rules, each pure; the first decision wins."""
