"""`click`."""
