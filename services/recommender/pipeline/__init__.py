"""From a request to recommendations."""
