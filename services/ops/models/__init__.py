"""`models list` and `models rollback`."""
