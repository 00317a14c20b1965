"""Kafka: clients, bounded ranges of topics, many messages written, administration."""
