"""[events] → Faust table → [sessions]: each visitor's rolling session vector."""
