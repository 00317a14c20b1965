"""Forgetting a visitor: told to Kafka, confirmed by the workers, and a report of what goes when."""
