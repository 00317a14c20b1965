"""`visitor` and `product`: all that is known of one."""
