"""The private mail server of the tests and the demo: Postfix, Dovecot, spamd, gatepost.

Everything listens on loopback and lies in one folder. Built from the files in
config/ that a site installs, so they cannot rot. Whatever happens, it goes down
with the process that started it.
"""
