"""`topics create` and `topics check`."""
