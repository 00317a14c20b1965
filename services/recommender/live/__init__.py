"""Open pages: sockets, subscriptions, pushes."""
