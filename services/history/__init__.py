"""Reading what lies on topics, once and to the end: ranges of time, erased visitors, progress. Shared."""
