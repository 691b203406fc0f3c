"""The milter: attachment limits by role, the spam tag."""
