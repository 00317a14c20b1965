"""`catalogue` and `events`: files of shops into ingest."""
