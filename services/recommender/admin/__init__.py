"""What a shop's people change by the admin key: rules and experiments."""
