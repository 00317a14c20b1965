"""Messages of Segment's HTTP tracking API: read, and turned into events and who is who."""
