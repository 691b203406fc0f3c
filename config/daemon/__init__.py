"""What every service process does: start, log, listen, reload, notify systemd."""
