"""The private mail server of the tests and the demo."""
