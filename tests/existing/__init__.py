"""gatepost on a mail server that already runs: installed, used and taken out again (slow)."""
