"""Logins for Dovecot: the decision, authd, and the thin checkpassword edge."""
