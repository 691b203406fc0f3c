"""The commands of the gatepost command line, one noun a file; cli.py loads them."""
