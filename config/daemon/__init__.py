"""What every service process does: start, log, listen, reload, tell systemd."""
