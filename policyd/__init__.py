"""The Postfix policy daemon: sending limits, the whitelist, early size refusals."""
