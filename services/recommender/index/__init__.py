"""The vector index: the port, and what stands behind it."""
