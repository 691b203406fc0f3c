"""The checkpassword program that Dovecot 2.3 runs at each login."""
