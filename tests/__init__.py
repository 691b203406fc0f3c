"""The tests; `tests.stack` is the private mail server that the demo uses too."""
