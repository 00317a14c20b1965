"""`visitor`."""
