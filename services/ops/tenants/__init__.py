"""`tenants` and `tenants delete`."""
