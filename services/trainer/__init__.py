"""The batch trainer: learns from the history of `events`, measures, and releases models."""
